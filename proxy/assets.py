"""Where the files that travel with the package lie: beside it here, inside it in a wheel."""

from pathlib import Path
from typing import Literal


def folder(name: Literal["static", "templates"]) -> Path:
    """Return the folder *name* of this installation."""
    package = Path(__file__).resolve().parent
    inside = package / name
    return inside if inside.is_dir() else package.parent / name
