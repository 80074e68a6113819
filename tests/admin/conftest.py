"""A dashboard on each engine, and who is signed in to it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.admin.dashboard import Dashboard, Visitor, a_dashboard
from tests.admin.full import full  # noqa: F401  # a fixture of these tests
from tests.core.conftest import postgres, url  # noqa: F401  # fixtures of these tests too


@pytest.fixture
def dashboard(tmp_path: Path, url: str) -> Iterator[Dashboard]:  # noqa: F811  # the fixture
    """A dashboard on an empty register."""
    with a_dashboard(tmp_path, url) as dashboard:
        yield dashboard


@pytest.fixture
def viewer(dashboard: Dashboard) -> Visitor:
    """Somebody signed in who may look."""
    return dashboard.signed_in("viewer")


@pytest.fixture
def operator(dashboard: Dashboard) -> Visitor:
    """Somebody signed in who may look and decide."""
    return dashboard.signed_in("operator")
