"""A home for every test that asks for one."""

from pathlib import Path

import pytest

from tests.settings.home import Home, at


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A folder with a good configuration and good secrets."""
    return at(tmp_path)
