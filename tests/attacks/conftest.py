"""One target on each engine for all attacks: that it still stands after each is a part of them."""

import itertools
from collections.abc import Iterator

import pytest
from sqlalchemy import create_engine, make_url, text

from proxy import migrate
from proxy.clocks import wall
from proxy.database import Database
from tests.attacks.mapping_upstream import begin_drip
from tests.attacks.target import Target
from tests.core.conftest import postgres  # noqa: F401  # a fixture of these tests too

_numbers = itertools.count(1)


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def target(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Target]:
    """A running deployment; that of the other engine has ended before it."""
    url = "sqlite:///optout.db"
    if request.param == "postgresql":
        url = _a_database(request.getfixturevalue("postgres"))
    target = Target(tmp_path_factory.mktemp(request.param), url)
    try:
        start(target)
        begin_drip(target)
        yield target
    finally:
        target.end()


def start(target: Target) -> None:
    """Start the insurer and the one process that is attacked."""
    if not target.is_embedded:
        register = Database(target.database, wall)  # here, because a process of its own is slow
        migrate.upgrade(register)
        register.dispose()
    target.start_insurers()
    target.start_web()


def _a_database(base: str) -> str:
    """Return the URL of an empty database on the server at *base*."""
    name = f"attacked_{next(_numbers)}"
    engine = create_engine(base, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return make_url(base).set(database=name).render_as_string(hide_password=False)
