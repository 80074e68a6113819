"""`check` on PostgreSQL: what it promises, whom it lets in, how much room it has."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import make_url

from proxy import migrate
from proxy.clocks import wall
from proxy.database import Database
from tests.faults.postgres import Postgres, a_server
from tests.settings.broken_homes import good, top
from tests.settings.home import Home
from tests.settings.test_checks_records import NEWER, findings, told_of


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """A PostgreSQL of these tests' own."""
    server = Postgres({"lc_messages": "C"})
    try:
        server.create()
        rules = server.data / "pg_hba.conf"
        rules.write_text(f"host all guest all scram-sha-256\n{rules.read_text()}")
        server.start()
        server.rows("CREATE ROLE guest LOGIN PASSWORD 'right'")
        server.rows("CREATE ROLE plain LOGIN IN ROLE pg_read_all_data, pg_write_all_data")
        yield server
    finally:
        server.end()


@pytest.fixture
def on_postgres(home: Home, server: Postgres) -> Home:
    """A good home on a migrated PostgreSQL database of its own."""
    good(home)
    name = f"check_{home.folder.name.lower().replace('-', '_')[-40:]}"
    url = server.create_database(name)
    top(f'database = "{url}"')(home)
    database = Database(url, wall)
    migrate.upgrade(database)
    database.dispose()
    return home


def swap_url(home: Home, **parts: Any) -> None:
    """Change parts of the database's URL."""
    url = make_url(home.load_again().database)
    other = url.set(**parts).render_as_string(hide_password=False)
    written = url.render_as_string(hide_password=False)
    home.write(home.config.read_text("utf-8").replace(written, other))


def test_a_good_server(on_postgres: Home) -> None:
    """Nothing is wrong with it."""
    assert findings(on_postgres) == {}


# What was done: SQL as the administrator, parts of the URL, the check, its verdict and its words.
SERVERS: dict[str, tuple[str, dict[str, Any], str, str, str, str]] = {
    "commits that are not waited for": (
        "ALTER DATABASE {name} SET synchronous_commit = off",
        {},
        "database",
        "fail",
        "synchronous_commit=off",
        "Set it to on for this role",
    ),
    "another password": (
        "",
        {"username": "guest", "password": "wrong-5"},
        "database",
        "fail",
        "password authentication failed",
        "Mend user or password",
    ),
    "a database that was never made": (
        "",
        {"database": "nowhere"},
        "database",
        "fail",
        'database "nowhere" does not exist',
        "createdb",
    ),
    "a port that is closed": (
        "",
        {"port": 9},
        "database",
        "fail",
        "onnection refused",
        "Look whether it runs there",
    ),
    "a name that is not known": (
        "",
        {"host": "database.invalid"},
        "database",
        "fail",
        "database.invalid",
        "Mend the host",
    ),
    "hardly a connection left": (
        "ALTER DATABASE {name} CONNECTION LIMIT 8",
        {"username": "plain"},
        "connections",
        "warn",
        "connections are left for us",
        "Raise `max_connections`",
    ),
    "a schema that is newer": (
        "",
        {},
        "schema",
        "fail",
        "migrated by a newer version",
        "Install that version",
    ),
}


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_that_is_not_as_it_should_be(
    on_postgres: Home, server: Postgres, name: str
) -> None:
    """One finding, and no password in it."""
    statement, parts, check, verdict, says, mend = SERVERS[name]
    database = make_url(on_postgres.load_again().database).database
    if statement:
        server.rows(statement.format(name=database))
    if check == "schema":
        server.rows(NEWER, str(database))
    swap_url(on_postgres, **parts)

    found = findings(on_postgres)

    assert told_of(found) == {check: verdict}, found
    assert says in found[check]["says"]
    assert mend in found[check]["mend"]
    assert "wrong-5" not in str(found)


def test_a_password_in_a_file_that_others_may_read(on_postgres: Home) -> None:
    """The one secret that stands in most configurations of a server."""
    swap_url(on_postgres, username="plain", password="in-the-open-6")
    on_postgres.config.chmod(0o644)

    found = findings(on_postgres)

    assert told_of(found) == {"config_file": "fail"}
    assert "optout.toml holds `database`" in found["config_file"]["says"]
    assert "in-the-open-6" not in str(found)


def test_a_server_that_writes_half_pages(home: Home) -> None:
    """It can only be told so when it starts."""
    good(home)
    with a_server({"full_page_writes": "off"}) as server:
        url = server.create_database("half")
        top(f'database = "{url}"')(home)
        database = Database(url, wall)
        migrate.upgrade(database)
        database.dispose()
        found = findings(home)

    assert told_of(found) == {"durability": "warn"}
    assert "full_page_writes=off" in found["durability"]["says"]


def test_a_server_that_was_never_migrated(home: Home, server: Postgres) -> None:
    """On SQLite `serve` does it by itself; here a command does."""
    good(home)
    top(f'database = "{server.create_database("empty")}"')(home)

    found = findings(home)

    assert told_of(found) == {"schema": "fail"}
    assert "older schema" in found["schema"]["says"]
    assert found["schema"]["mend"] == "Run `optout-proxy migrate`."
