"""The package with a fault planted in it, to prove that the judge would see that fault."""

import shutil
from collections.abc import Sequence
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
_FOLDERS = ("proxy", "static", "templates")  # where proxy/assets.py looks: beside the package

Edit = tuple[str, str, str]  # the file below proxy/, the text in it, the text instead


def planted(folder: Path, edits: Sequence[Edit]) -> Path:
    """Copy the package into *folder*, each edit made; return what to put on PYTHONPATH.

    A text that is not found exactly once is a fault of the edit: what it meant to change is gone.
    """
    for name in _FOLDERS:
        leave = shutil.ignore_patterns("__pycache__")
        shutil.copytree(_ROOT / name, folder / name, ignore=leave)
    for file, before, after in edits:
        path = folder / "proxy" / file.removeprefix("proxy/")
        text = path.read_text("utf-8")
        assert text.count(before) == 1, f"{file} holds {before!r} {text.count(before)} times"
        path.write_text(text.replace(before, after), "utf-8")
    return folder


def environment(folder: Path) -> dict[str, str]:
    """Return the environment in which `python -m proxy` runs the package in *folder*.

    Without PYTHONSAFEPATH the package in the working directory would come first.
    """
    return {"PYTHONPATH": str(folder), "PYTHONSAFEPATH": "1"}
