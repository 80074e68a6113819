"""What the shape of a package must obey: each rule takes modules and returns the faults it sees.

A module's lines are those that are neither blank nor only a comment; docstrings count.
A function's lines are all of them, from its `def` to its last, inner functions included.
"""

import ast
import re
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

_DOTTED = re.compile(r"\w+(\.\w+)+")

Table = Mapping[str, AbstractSet[str]]


@dataclass(frozen=True)
class Module:
    """One file of the package."""

    name: str  # dotted, without the package: "web.public"; "" is the package itself
    path: Path
    tree: ast.Module
    lines: int  # neither blank nor only a comment
    code: int  # of these, all but docstrings


def table(text: str) -> dict[str, set[str]]:
    """Return the rows of *text*: a name, then words; a line that begins with a space goes on."""
    rows: dict[str, set[str]] = {}
    name = ""
    for line in text.splitlines():
        words = line.split()
        if line[:1].strip():
            name = words.pop(0)
            rows[name] = set()
        rows.setdefault(name, set()).update(words)
    return {name: words for name, words in rows.items() if name}


def read(package: Path) -> dict[str, Module]:
    """Return the modules below *package* by name."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        text = path.read_text("utf-8")
        tree, lines = ast.parse(text), _lines(text)
        found[name] = Module(name, path, tree, lines, lines - _docstrings(tree))
    return found


def _lines(text: str) -> int:
    return sum(
        bool(line) and not line.startswith("#") for line in map(str.strip, text.splitlines())
    )


def _docstrings(tree: ast.Module) -> int:
    kinds = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    documented = (node for node in ast.walk(tree) if isinstance(node, kinds))
    return sum(_lines(ast.get_docstring(node) or "") for node in documented)


def imported(module: Module) -> Iterator[str]:
    """Yield the full name of everything *module* imports, wherever in it the import stands.

    Where modules are imported by name, each text that looks like a module's counts as an import.
    """
    if _calls(module, {"import_module"}):
        texts = (node.value for node in ast.walk(module.tree) if isinstance(node, ast.Constant))
        yield from (text for text in texts if isinstance(text, str) and _DOTTED.fullmatch(text))
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module or ''}.{alias.name}" for alias in node.names)


def ours(modules: Mapping[str, Module], package: str) -> dict[str, set[str]]:
    """Return, for each module, the modules of this package that it imports."""
    graph: dict[str, set[str]] = {}
    for name, module in modules.items():
        names = {full[len(package) + 1 :] for full in imported(module) if _within(full, package)}
        graph[name] = {_module_of(target, modules) for target in names} - {name, ""}
    return graph


def _within(full: str, package: str) -> bool:
    return full == package or full.startswith(f"{package}.")


def _module_of(target: str, modules: Mapping[str, Module]) -> str:
    """Return the module that holds *target*: a module itself, or a name inside one."""
    while target and target not in modules:
        target = target.rpartition(".")[0]
    return target


def unlisted(modules: Mapping[str, Module], table: Table) -> list[str]:
    """Every module has a row in the table and every row a module."""
    missing = [f"{name} has no row" for name in sorted(modules.keys() - table.keys() - {""})]
    return missing + [f"{name} is no module" for name in sorted(table.keys() - modules.keys())]


def forbidden(graph: Mapping[str, AbstractSet[str]], table: Table) -> list[str]:
    """No module imports what its row does not name."""
    return [
        f"{name} may not import {target}"
        for name, targets in sorted(graph.items())
        for target in sorted(targets - table.get(name, set()))
    ]


def unused(graph: Mapping[str, AbstractSet[str]], table: Table) -> list[str]:
    """No row permits what its module does not need."""
    return [
        f"{name} does not import {target}"
        for name, targets in sorted(table.items())
        for target in sorted(targets - graph.get(name, set()))
    ]


def reach(graph: Mapping[str, AbstractSet[str]], start: str) -> set[str]:
    """Return every module that *start* pulls in, directly or through others."""
    seen: set[str] = set()
    ahead = [start]
    while ahead:
        new = graph.get(ahead.pop(), set()) - seen
        seen |= new
        ahead.extend(new)
    return seen


def leaks(graph: Mapping[str, AbstractSet[str]], walls: Table) -> list[str]:
    """No module under a prefix of *walls* reaches, by any way, what stands behind the wall."""
    return [
        f"{name} reaches {target}"
        for prefix, hidden in walls.items()
        for name in sorted(graph)
        if _within(name, prefix)
        for target in sorted(reach(graph, name) & hidden)
    ]


def cycles(graph: Mapping[str, AbstractSet[str]]) -> list[str]:
    """No module reaches itself."""
    return [
        f"{name} imports itself in the end" for name in sorted(graph) if name in reach(graph, name)
    ]


def strangers(modules: Mapping[str, Module], homes: Table) -> list[str]:
    """Each library of *homes* is imported only in its homes; a home names a whole folder too."""
    return [
        f"{name} may not import {library}"
        for name, module in sorted(modules.items())
        for library, allowed in sorted(homes.items())
        if not any(_within(name, home) for home in allowed)
        and any(_within(full, library) for full in _used(module, library))
    ]


def _used(module: Module, library: str) -> Iterator[str]:
    """Yield what *module* imports and, for `os.environ` and its like, what it uses of `os`."""
    yield from imported(module)
    if "." not in library:
        return
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield f"{node.value.id}.{node.attr}"


def long_functions(modules: Mapping[str, Module], most: int) -> list[str]:
    """No function is longer than *most* lines."""
    return [
        f"{name}.{node.name} has {length} lines"
        for name, module in sorted(modules.items())
        for node in ast.walk(module.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or node.lineno) - node.lineno + 1) > most
    ]


def long_modules(modules: Mapping[str, Module], most: int) -> list[str]:
    """No module is longer than *most* lines."""
    return [
        f"{name} has {module.lines} lines"
        for name, module in sorted(modules.items())
        if module.lines > most
    ]


def vague(modules: Mapping[str, Module], words: AbstractSet[str]) -> list[str]:
    """No file carries a name that says nothing."""
    return [
        f"{name} is not named after a thing"
        for name in sorted(modules)
        if words & set(name.split("."))
    ]


def dynamic(modules: Mapping[str, Module], homes: AbstractSet[str]) -> list[str]:
    """Nothing is imported by name but in *homes*, and nothing is made from text."""
    return [
        f"{name} calls {word}"
        for name, module in sorted(modules.items())
        for word in sorted(_calls(module, {"__import__", "import_module", "exec", "eval"}))
        if (name, word) not in {(home, "import_module") for home in homes}
    ]


def _calls(module: Module, words: AbstractSet[str]) -> set[str]:
    """Return which of *words* are called in *module*."""
    nodes = (node.func for node in ast.walk(module.tree) if isinstance(node, ast.Call))
    names = {getattr(node, "attr", getattr(node, "id", "")) for node in nodes}
    return names & words


def patched(modules: Mapping[str, Module]) -> list[str]:
    """No test swaps a part behind the code's back; the process's environment it may set."""
    swaps = {"setattr", "delattr", "setitem", "delitem"}
    return [
        f"{name} calls monkeypatch.{node.attr}"
        for name, module in sorted(modules.items())
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id in {"monkeypatch", "mp", "patch"}
        and node.attr in swaps
    ]
