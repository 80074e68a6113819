"""Writes the notes of a release: its section of the changelog, and the hash of every file of it.

`python -m deploy.release_notes [VERSION [FOLDER]]`; the version of the package and `dist` if left
out. Exit status 1 where the changelog has no such section, or a file of the release is missing.
"""

import hashlib
import json
import re
import sys
from pathlib import Path

from proxy import __version__

ROOT = Path(__file__).resolve().parent.parent


def section(changelog: str, version: str) -> str:
    """Return what *changelog* says of *version*; raise ValueError if it says nothing."""
    begin, end = rf"^## \[{re.escape(version)}\][^\n]*\n", r"(?=^## |^\[[^\]]+\]: |\Z)"
    match = re.search(f"{begin}(.*?){end}", changelog, re.DOTALL | re.MULTILINE)
    if match is None or not match[1].strip():
        raise ValueError(f"CHANGELOG.md has no section [{version}]")
    return match[1].strip()


def files_of(version: str) -> list[str]:
    """Return the names of the files that a release is made of."""
    return [
        f"optout_proxy-{version}-py3-none-any.whl",
        f"optout_proxy-{version}.tar.gz",
        f"optout-proxy-{version}.cdx.json",
        f"optout-proxy-choice-{version}.tgz",
        f"pci-pack-{version}.zip",
    ]


def notes(version: str, folder: Path, changelog: Path = ROOT / "CHANGELOG.md") -> str:
    """Return the notes of *version*, whose files lie in *folder*; raise ValueError."""
    missing = [name for name in files_of(version) if not (folder / name).is_file()]
    if missing:
        raise ValueError(f"{folder.name} lacks {', '.join(missing)}")
    released = json.loads((ROOT / "static/s/released.json").read_text("utf-8"))
    if version not in released:
        raise ValueError(f"static/s/released.json has no {version}")
    rows = "\n".join(
        f"| `{name}` | `{hashlib.sha256((folder / name).read_bytes()).hexdigest()}` |"
        for name in files_of(version)
    )
    said = section(changelog.read_text("utf-8"), version)
    return (
        f"{said}\n\n## Files\n\n| file | SHA-256 |\n|---|---|\n{rows}\n\n"
        f"The script `/s/{version}/choice.js`, for the tag's `integrity`:\n\n"
        f"```\n{released[version]}\n```\n\n"
        "Wheel, source archive and npm package carry attestations of the workflow that built "
        "them; building the same commit again, on a system with the same zlib, gives the same "
        "bytes.\n"
    )


def main(version: str = __version__, folder: str = "dist") -> None:
    """Print the notes."""
    try:
        print(notes(version, Path(folder)), end="")
    except ValueError as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main(*sys.argv[1:])
