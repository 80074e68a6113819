"""What is installed is complete: the wheel is built from the source archive and looked into."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def _run(*arguments: str, cwd: Path) -> None:
    subprocess.run([sys.executable, "-m", *arguments], cwd=cwd, check=True, capture_output=True)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the source archive."""
    folder = tmp_path_factory.mktemp("sdist")
    _run("hatchling", "build", "-t", "sdist", "-d", str(folder), cwd=ROOT)
    return next(folder.glob("*.tar.gz"))


@pytest.fixture(scope="module")
def wheel(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Build the wheel from nothing but the source archive; return the names in it."""
    folder = tmp_path_factory.mktemp("wheel")
    _run("tarfile", "-e", str(archive), str(folder), cwd=folder)
    source = folder / archive.name.removesuffix(".tar.gz")
    _run("hatchling", "build", "-t", "wheel", "-d", str(folder), cwd=source)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as packed:
        return packed.namelist()


def _files(folder: str) -> set[str]:
    found = (ROOT / folder).rglob("*")
    kept = (path for path in found if path.is_file() and path.suffix != ".pyc")
    return {path.relative_to(ROOT).as_posix() for path in kept}


def test_the_package_is_whole(wheel: list[str]) -> None:
    """Every file of the package travels: modules, migrations, the marker of types."""
    assert _files("proxy") - set(wheel) == set()


@pytest.mark.parametrize("folder", ["static", "templates"])
def test_assets_travel_inside_the_package(wheel: list[str], folder: str) -> None:
    """What lies beside the package in a checkout lies inside it once installed."""
    assert {f"proxy/{name}" for name in _files(folder)} - set(wheel) == set()


def test_nothing_else_is_installed(wheel: list[str]) -> None:
    """The wheel holds one package and its metadata: no tests, no top-level `static`."""
    roots = {name.partition("/")[0] for name in wheel}

    assert len(roots) == 2
    assert "proxy" in roots


def test_the_archive_has_the_licence_and_the_documents(archive: Path) -> None:
    """What the licence and the readers need is in the source archive."""
    with tarfile.open(archive) as packed:
        names = {name.partition("/")[2] for name in packed.getnames()}

    assert names >= {"LICENSE", "README.md", "CHANGELOG.md", "docs/glossary.md", "pyproject.toml"}
