"""The tools that build and judge the snippet, freshly installed from their lock file."""

import shutil
from pathlib import Path

import pytest

from tests.snippet.node import HERE, NPM, ROOT, node

FILES = ["LICENSE", "proxy/__init__.py", "docs/reference/snippet-size.md"]


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what the build needs, in the project's layout; returns its deploy/snippet."""
    root = tmp_path_factory.mktemp("workshop")
    ignore = shutil.ignore_patterns("node_modules", "demo", "s", "__pycache__")
    for name in ("static", "deploy/snippet"):
        shutil.copytree(ROOT / name, root / name, ignore=ignore)
    shutil.copytree(HERE, root / "tests/snippet", ignore=ignore)
    for name in FILES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, root / name)
    tools = root / "deploy/snippet"
    node(NPM, "ci", "--silent", "--ignore-scripts", folder=tools)
    return tools
