"""Whoever builds a version gets its bytes: in another place, at another time, by other habits."""

import os
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.snippet.node import NODE, NPM

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Habits:
    """How somebody's machine differs from another's."""

    folder: str
    umask: int
    mode: int  # of every file of the checkout
    modified: int  # when, in Unix seconds
    environment: dict[str, str]


ONE = Habits(
    "one",
    umask=0o077,
    mode=0o600,
    modified=978_307_200,
    environment={"TZ": "Asia/Tokyo", "LC_ALL": "C", "PYTHONHASHSEED": "1"},
)
OTHER = Habits(
    "a/folder further down/other",
    umask=0o002,
    mode=0o664,
    modified=1_999_999_999,
    environment={"TZ": "America/New_York", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "2"},
)


@dataclass(frozen=True)
class Checkout:
    """The project's files on somebody's machine."""

    root: Path
    habits: Habits

    def run(self, *command: str | Path, folder: str = ".") -> None:
        """Run a command as that machine would."""
        done = subprocess.run(
            [str(word) for word in command],
            cwd=self.root / folder,
            env={**os.environ, **self.habits.environment},
            umask=self.habits.umask,
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def built(self) -> dict[str, bytes]:
        """Return what lies in `dist`."""
        return {path.name: path.read_bytes() for path in (self.root / "dist").iterdir()}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source archive of the files at hand."""
    folder = tmp_path_factory.mktemp("archive")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return next(folder.glob("*.tar.gz"))


@pytest.fixture(scope="module")
def checkouts(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Checkout]:
    """The same files in two places, with the habits of two machines."""
    found = []
    for habits in (ONE, OTHER):
        place = tmp_path_factory.mktemp("machine") / habits.folder
        with tarfile.open(archive) as packed:
            packed.extraction_filter = getattr(tarfile, "data_filter", None)  # from 3.11.4 on
            packed.extractall(place)  # noqa: S202  # our own archive
        root = next(place.iterdir())
        for path in root.rglob("*"):
            if path.is_file():
                path.chmod(habits.mode | path.stat().st_mode & 0o100)  # what runs still runs
                os.utime(path, (habits.modified, habits.modified))
        found.append(Checkout(root, habits))
    return found


def test_the_package_is_the_same_wherever_it_is_built(
    checkouts: list[Checkout], archive: Path
) -> None:
    """Wheel and source archive, byte for byte; the archive is the one that it was unpacked from."""
    for checkout in checkouts:
        checkout.run(sys.executable, "-m", "hatchling", "build", "-d", "dist")
    one, other = (checkout.built() for checkout in checkouts)

    assert sorted(name.rpartition(".")[2] for name in one) == ["gz", "whl"]
    assert one == other
    assert one[archive.name] == archive.read_bytes()


def test_the_snippet_is_the_same_wherever_it_is_built(checkouts: list[Checkout]) -> None:
    """The minified file is the released one, and the npm package is the same to the byte."""
    tools = ROOT / "deploy/snippet/node_modules"
    packed = []
    for checkout in checkouts:
        static = checkout.root / "static"
        released = {path.read_bytes() for path in static.glob("s/*/choice.js")}
        (static / "choice.min.js").unlink()
        if tools.is_dir():
            (checkout.root / "deploy/snippet/node_modules").symlink_to(tools)
        else:
            checkout.run(NODE, NPM, "ci", "--silent", "--ignore-scripts", folder="deploy/snippet")
        checkout.run(NODE, "build.mjs", folder="deploy/snippet")
        checkout.run(NODE, "pack.mjs", folder="deploy/snippet")
        packed.append([path.read_bytes() for path in checkout.root.glob("dist/*.tgz")])

        assert (static / "choice.min.js").read_bytes() in released
    assert len(packed[0]) == 1
    assert packed[0] == packed[1]
