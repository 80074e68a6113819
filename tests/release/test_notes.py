"""The release notes: what changed, and the hash of every file of the release."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.release_notes import files_of, notes, section
from proxy import __version__

ROOT = Path(__file__).resolve().parents[2]
CHANGELOG = """# Changelog

## [Unreleased]

- Not yet.

## [1.1.0] - 2026-06-01

### Added

- One thing.

## [1.1.0-rc.1] - 2026-05-01

- A try.

[1.1.0]: https://example.com/1.1.0
"""


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    """A folder with every file of the release."""
    for name in files_of(__version__):
        (tmp_path / name).write_bytes(name.encode())
    return tmp_path


def test_a_section_is_taken_whole_and_alone() -> None:
    """Up to the next version, and without the links at the end."""
    assert section(CHANGELOG, "1.1.0") == "### Added\n\n- One thing."
    assert section(CHANGELOG, "1.1.0-rc.1") == "- A try."


@pytest.mark.parametrize("version", ["1.0.0", "1.1", "2.0.0"])
def test_a_version_without_a_section_is_refused(version: str) -> None:
    """Nothing is released that nobody has written about."""
    with pytest.raises(ValueError, match="no section"):
        section(CHANGELOG, version)


def test_a_missing_file_is_refused(dist: Path) -> None:
    """It is named."""
    (dist / files_of(__version__)[0]).unlink()

    with pytest.raises(ValueError, match=r"lacks optout_proxy-\S+\.whl"):
        notes(__version__, dist)


def test_the_notes_have_the_hash_of_each_file(
    dist: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """And that of the snippet, as the tag wants it."""
    root = tmp_path_factory.mktemp("root")
    (root / "CHANGELOG.md").write_text(f"## [{__version__}]\n\n- All of it.\n", "utf-8")
    text = notes(__version__, dist, root / "CHANGELOG.md")

    for name in files_of(__version__):
        assert f"| `{name}` | `{hashlib.sha256(name.encode()).hexdigest()}` |" in text
    assert (ROOT / "static/s/released.json").read_text().split('"')[3] in text
    assert text.startswith("- All of it.\n")


def test_the_program_says_what_is_missing(tmp_path: Path) -> None:
    """One sentence, exit status 1."""
    done = subprocess.run(
        [sys.executable, "-m", "deploy.release_notes", __version__, str(tmp_path)],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "lacks" in done.stderr
