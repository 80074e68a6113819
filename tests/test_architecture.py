"""The shape of the code as a table, and planted faults that prove each rule sees its own."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests import architecture as shape
from tests.may_import import MAY_IMPORT
from tests.rooms import HOMES, STRAIGHT_LINE, VAGUE, WALLS

ROOT = Path(__file__).resolve().parent.parent
MODULES = shape.read(ROOT / "proxy")
TESTS = shape.read(ROOT / "tests")
GRAPH = shape.ours(MODULES, "proxy")


def test_every_module_has_its_row() -> None:
    """The table is complete: a new file declares what it may know."""
    assert shape.unlisted(MODULES, MAY_IMPORT) == []


def test_no_module_knows_more_than_its_row() -> None:
    """What the table does not name is not imported."""
    assert shape.forbidden(GRAPH, MAY_IMPORT) == []


def test_no_row_permits_more_than_is_needed() -> None:
    """The table says what is, so that it can be read as the map."""
    assert shape.unused(GRAPH, MAY_IMPORT) == []


@pytest.mark.parametrize("room", WALLS)
def test_walls_hold(room: str) -> None:
    """What stands behind a wall is not reached by any way, however long."""
    hidden = WALLS[room] & MODULES.keys()

    assert hidden
    assert shape.leaks(GRAPH, {room: hidden}) == []


def test_the_sandbox_is_a_program_of_its_own() -> None:
    """It knows words and nothing else of the proxy, so that it can contradict it."""
    inside = {name for name in MODULES if name.split(".")[0] == "sandbox"}
    others = MODULES.keys() - inside - {"choices", "errors"}

    assert shape.leaks(GRAPH, {"sandbox": others}) == []


def test_only_the_command_line_sees_the_wiring() -> None:
    """Parts do not know who put them together."""
    wired = {name for name, targets in GRAPH.items() if "app" in targets}

    assert {name.split(".")[0] for name in wired} <= {"app", "cli", "serve"}


def test_no_import_cycles() -> None:
    """Imports form a straight way down."""
    assert shape.cycles(GRAPH) == []


def test_libraries_stay_at_home() -> None:
    """Each library is used where the table says, and nowhere else."""
    assert shape.strangers(MODULES, HOMES) == []


def test_nothing_is_imported_behind_the_table() -> None:
    """Only the command line imports by name, and the table sees those names too."""
    assert shape.dynamic(MODULES, {"cli"}) == []


def test_functions_are_short() -> None:
    """No function is longer than 40 lines."""
    assert shape.long_functions(MODULES | _tests(), 40) == []


def test_modules_are_short() -> None:
    """No module is longer than 300 lines."""
    assert shape.long_modules(MODULES | _tests(), 300) == []


def test_files_are_named_after_things() -> None:
    """There is no drawer for what found no name."""
    assert shape.vague(MODULES, VAGUE) == []


def test_the_straight_line_is_short() -> None:
    """The path of one opt-out stays within 2,500 lines of code, docstrings not counted."""
    line = [MODULES[name] for step in STRAIGHT_LINE.values() for name in step]

    assert sum(module.code for module in line) <= 2500


def test_nothing_is_patched() -> None:
    """A test passes another part in, or talks to a real one."""
    assert shape.patched(TESTS) == []
    assert shape.strangers(TESTS, {"unittest": set(), "mock": set(), "pytest_mock": set()}) == []


def _tests() -> dict[str, shape.Module]:
    return {f"tests.{name}": module for name, module in TESTS.items()}


Plant = Callable[[dict[str, str]], dict[str, shape.Module]]


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    """Write a small package and read it."""

    def write(files: dict[str, str]) -> dict[str, shape.Module]:
        for name, text in files.items():
            path = tmp_path / "proxy" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
        return shape.read(tmp_path / "proxy")

    return write


FORBIDDEN = {
    "whole": "import proxy.sender",
    "from the package": "from proxy import sender",
    "a name of it": "from proxy.sender import Sender",
    "renamed": "from proxy import sender as post",
    "inside a function": "def view():\n    from proxy.sender import Sender\n",
    "for types only": "if TYPE_CHECKING:\n    from proxy.sender import Sender\n",
}


@pytest.mark.parametrize("text", FORBIDDEN.values(), ids=FORBIDDEN)
def test_a_forbidden_import_is_seen(plant: Plant, text: str) -> None:
    """However it is written, an import that the row does not name is a fault."""
    modules = plant({"web/choices.py": text, "web/__init__.py": "", "sender.py": ""})
    table: dict[str, set[str]] = {"web.choices": set()}

    faults = shape.forbidden(shape.ours(modules, "proxy"), table)

    assert faults == ["web.choices may not import sender"]


def test_a_way_round_the_wall_is_seen(plant: Plant) -> None:
    """Two permitted imports in a row do not open the door."""
    modules = plant(
        {
            "web/choices.py": "from proxy.intake import Intake",
            "intake.py": "from proxy.sender import Sender",
            "sender.py": "",
        }
    )

    faults = shape.leaks(shape.ours(modules, "proxy"), {"web": {"sender"}})

    assert faults == ["web.choices reaches sender"]


def test_a_cycle_is_seen(plant: Plant) -> None:
    """Three modules in a ring are three faults; one beside it is none."""
    modules = plant(
        {
            "a.py": "import proxy.b",
            "b.py": "import proxy.c",
            "c.py": "import proxy.a",
            "d.py": "import proxy.a",
        }
    )

    faults = shape.cycles(shape.ours(modules, "proxy"))

    assert [fault[0] for fault in faults] == ["a", "b", "c"]


def test_a_module_without_a_row_is_seen(plant: Plant) -> None:
    """So is a row without a module."""
    modules = plant({"new.py": ""})

    assert shape.unlisted(modules, {"old": set()}) == ["new has no row", "old is no module"]


def test_a_needless_permission_is_seen(plant: Plant) -> None:
    """A row that names what its module no longer imports is a fault."""
    modules = plant({"a.py": "", "b.py": ""})

    faults = shape.unused(shape.ours(modules, "proxy"), {"a": {"b"}, "b": set()})

    assert faults == ["a does not import b"]


STRANGERS = {
    "import requests": "requests",
    "import requests.adapters as adapters": "requests",
    "from requests import Session": "requests",
    "from requests.auth import AuthBase": "requests",
    "from os import environ": "os.environ",
    "import os\nNAME = os.environ['NAME']": "os.environ",
}


@pytest.mark.parametrize(("text", "library"), STRANGERS.items(), ids=STRANGERS)
def test_a_library_away_from_home_is_seen(plant: Plant, text: str, library: str) -> None:
    """In its home, or in a folder that is its home, the same text is no fault."""
    modules = plant({"away.py": text, "home.py": text, "house/room.py": text})

    faults = shape.strangers(modules, {library: {"home", "house"}})

    assert faults == [f"away may not import {library}"]


def test_a_library_with_a_similar_name_is_another(plant: Plant) -> None:
    """`requests_toolbelt` is not `requests`."""
    modules = plant({"away.py": "import requests_toolbelt"})

    assert shape.strangers(modules, {"requests": set()}) == []


@pytest.mark.parametrize(("lines", "faults"), [(40, []), (41, ["a.f has 41 lines"])])
def test_a_long_function_is_seen(plant: Plant, lines: int, faults: list[str]) -> None:
    """A function of 40 lines passes, one of 41 does not."""
    modules = plant({"a.py": "def f():\n" + "    pass\n" * (lines - 1)})

    assert shape.long_functions(modules, 40) == faults


def test_a_long_method_is_seen(plant: Plant) -> None:
    """A method counts, and an asynchronous one too."""
    modules = plant({"a.py": "class A:\n    async def f(self):\n" + "        pass\n" * 40})

    assert shape.long_functions(modules, 40) == ["a.f has 41 lines"]


@pytest.mark.parametrize(("lines", "faults"), [(300, []), (301, ["a has 301 lines"])])
def test_a_long_module_is_seen(plant: Plant, lines: int, faults: list[str]) -> None:
    """Blank lines and comments are free, everything else counts."""
    modules = plant({"a.py": "# why\n\n" + "pass\n" * lines})

    assert shape.long_modules(modules, 300) == faults


@pytest.mark.parametrize("name", ["utils", "web.utils", "utils.text"])
def test_a_drawer_is_seen(plant: Plant, name: str) -> None:
    """Neither a file nor a folder may be called `utils`."""
    modules = plant({name.replace(".", "/") + ".py": ""})

    assert shape.vague(modules, VAGUE) == [f"{name} is not named after a thing"]


DYNAMIC = {
    "importlib.import_module('proxy.sender')": "import_module",
    "import_module('proxy.sender')": "import_module",
    "__import__('proxy.sender')": "__import__",
    "exec('import proxy.sender')": "exec",
}


@pytest.mark.parametrize(("text", "call"), DYNAMIC.items(), ids=DYNAMIC)
def test_a_dynamic_import_is_seen(plant: Plant, text: str, call: str) -> None:
    """The table can not be walked around with text."""
    assert shape.dynamic(plant({"a.py": text}), {"b"}) == [f"a calls {call}"]


def test_an_import_by_name_is_seen(plant: Plant) -> None:
    """Where imports by name are permitted, the names count like any other import."""
    text = "NAMES = {'send': 'proxy.sender'}\nmodule = import_module(NAMES['send'])"
    modules = plant({"cli.py": text, "sender.py": ""})

    assert shape.dynamic(modules, {"cli"}) == []
    assert shape.ours(modules, "proxy")["cli"] == {"sender"}


@pytest.mark.parametrize("swap", ["setattr", "setitem"])
def test_patching_is_seen(plant: Plant, swap: str) -> None:
    """Swapping a part is a fault in a test; setting an environment variable is none."""
    text = f"def test_it(monkeypatch):\n    monkeypatch.{swap}(clock, 'now', 0)\n"
    modules = plant({"test_a.py": text, "test_b.py": text.replace(swap, "setenv")})

    assert shape.patched(modules) == [f"test_a calls monkeypatch.{swap}"]
