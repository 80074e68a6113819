"""A dashboard on a register that is full, on each engine; tests only read its offers."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest
from sqlalchemy import create_engine, make_url, text

from proxy import migrate
from proxy.clocks import wall
from proxy.database import Database
from tests.admin.dashboard import Dashboard, Visitor, a_dashboard
from tests.admin.filled import fill, lay_keys, tables

COUNT = 2_000
PATIENCE_S = 60


@contextmanager
def a_full_dashboard(folder: Path, url: str, count: int = COUNT) -> Iterator[Dashboard]:
    """Yield a dashboard whose register has *count* offers of the last sixty days."""
    lay_keys(folder)
    register = Database(url, wall)
    migrate.upgrade(register)
    fill(register, count, now=wall())
    register.dispose()
    with a_dashboard(folder, url, top=tables()) as dashboard:
        yield dashboard


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def full(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Dashboard]:
    """The same register for every test of this run, once on each engine."""
    folder = tmp_path_factory.mktemp("full")
    url = f"sqlite:///{folder / 'optout.db'}"
    if request.param == "postgresql":
        url = a_database(request.getfixturevalue("postgres"))
    with a_full_dashboard(folder, url) as dashboard:
        yield dashboard


def a_database(server: str) -> str:
    """Make a new database of *server*; return its URL."""
    name = f"full_{Random().getrandbits(48):x}"
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return make_url(server).set(database=name).render_as_string(hide_password=False)


def counted(dashboard: Dashboard, visitor: Visitor, path: str = "/admin/") -> str:
    """Return a page once the offers are counted."""
    visitor.get(path)
    assert dashboard.admin.extensions["counting"].wait(PATIENCE_S)
    return visitor.get(path).text


def words(page: str) -> str:
    """Return what a person reads of *page*."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page)).replace("&#39;", "'").strip()
