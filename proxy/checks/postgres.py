"""A PostgreSQL server: whether it is there, keeps what is committed, and has room for us."""

import re

from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from proxy.checks.clocks import clock_finding
from proxy.checks.findings import Finding, Findings, fail, ok, or_ok, refused, warn
from proxy.clocks import wall
from proxy.database import Database
from proxy.errors import ConfigurationError, StorageUnavailable

PROCESS = 10  # connections that one process keeps: writers, readers, notices

# What PostgreSQL says, and what mends it. Matched in the words of lc_messages = C or en_*.
_MENDS = (
    (r"password authentication failed", "Mend user or password in `database`."),
    (r"no password supplied", "Write the password into `database`, or into a password file."),
    (r"no pg_hba.conf entry", "Let this machine's address in, in the server's pg_hba.conf."),
    (r'database ".*" does not exist', "Make it: `createdb`, owned by this user."),
    (r'role ".*" does not exist', "Make it: `createuser --pwprompt`."),
    (r"too many (clients|connections)|remaining connection slots", "Raise the limit it names."),
    (r"could not translate|[Nn]ame or service|resolve", "Mend the host in `database`."),
    (r"[Cc]onnection refused|timeout|No such file|unreachable", "Look whether it runs there."),
    (r"SSL|certificate", "Mend `sslmode` and `sslrootcert` in `database`."),
)
_LEFT = text("""
SELECT least(
  current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
    - (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
  (SELECT CASE WHEN rolconnlimit < 0 THEN NULL ELSE rolconnlimit
    - (SELECT count(*) FROM pg_stat_activity WHERE usename = current_user) END
   FROM pg_roles WHERE rolname = current_user),
  (SELECT CASE WHEN datconnlimit < 0 THEN NULL ELSE datconnlimit
    - (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()) END
   FROM pg_database WHERE datname = current_database()))
""")


def postgres_findings(database: Database) -> Findings:
    """Judge a PostgreSQL server by connecting to it."""
    try:
        database.check()
    except ConfigurationError as error:
        yield _away(error)
        return
    except OperationalError as error:
        yield _away(ConfigurationError(str(error.orig)))
        return
    yield ok("database", f"PostgreSQL answers at {database.url.host or 'its socket'}.")
    try:
        with database.read() as connection:
            yield from or_ok(
                _durability(connection), "durability", "What is committed survives a power cut."
            )
            yield _connections(connection)
            asked = wall()
            theirs = database.now(connection)
            yield clock_finding("database_clock", (theirs - (asked + wall()) // 2) / 1000)
    except StorageUnavailable as error:
        yield fail("database", f"It can not be read ({error.__cause__}).", "Look at its log.")


def _away(error: ConfigurationError) -> Finding:
    found = refused("database", error)
    mend = next((mend for words, mend in _MENDS if re.search(words, str(error))), "")
    return fail("database", found.says, found.mend or mend or "Look at the server's log.")


def _durability(connection: Connection) -> Findings:
    """What the connection itself refuses, fsync off and the like, was told before."""
    asked = text("SELECT current_setting('full_page_writes')")
    if connection.execute(asked).scalar_one() == "off":
        yield warn(
            "durability",
            "PostgreSQL has full_page_writes=off: a power cut may leave half a page.",
            "Set it to on, unless the file system never tears a page (ZFS).",
        )


def _connections(connection: Connection) -> Finding:
    left = int(connection.execute(_LEFT).scalar_one())
    if left < PROCESS:
        return warn(
            "connections",
            f"{left} connections are left for us, and each process takes up to {PROCESS}.",
            "Raise `max_connections`, or the limit of this role or database.",
        )
    return ok("connections", f"{left} connections are left; each process takes up to {PROCESS}.")
