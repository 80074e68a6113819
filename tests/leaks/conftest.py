"""One run for all tests of a module, on each engine."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.planted import Edit, planted
from tests.faults.postgres import Postgres, a_server
from tests.leaks.dashboard import enter
from tests.leaks.guarded import Guarded, with_password
from tests.leaks.story import Story
from tests.leaks.vault import Vault, below, filled

SOONER: list[Edit] = [  # or a run would end before there is an alert, or a seal
    ("alerts.py", "LOOK_S = 30.0", "LOOK_S = 0.3"),
    ("sealer.py", "SPAN_S = 60.0", "SPAN_S = 1.0"),
]
USER = "optout"


_THOROUGH = [pytest.mark.thorough, pytest.mark.timeout(400)]


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=_THOROUGH)])
def told(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Story]:
    """The whole run: told, called, rotated, commanded, killed, crashed, stopped, searched."""
    folder = tmp_path_factory.mktemp("leaks")
    if request.param == "sqlite":
        with a_story(folder, filled(), SOONER) as story:
            yield whole(story)
        return
    vault = filled()
    with a_server() as server:
        url = protect(server, vault)
        with a_story(folder, vault, SOONER, url) as story:
            story.cluster.migrate()
            whole(story)
            for name, content in below(server.folder, leave=[], since=story.began):
                story.evidence[f"file postgresql {name}"] = content
            yield story


@contextmanager
def a_story(folder: Path, vault: Vault, edits: list[Edit], url: str = "") -> Iterator[Story]:
    """Yield a deployment in *folder* of the package with *edits*, nothing of it started."""
    (folder / "home").mkdir()
    cluster = Guarded(folder / "home", vault, url, code=planted(folder / "code", edits))
    try:
        yield Story(cluster, folder / "given")
    finally:
        cluster.end()


def whole(story: Story) -> Story:
    """Go through everything, in the order in which it can happen."""
    story.start()
    story.tell()
    story.call()
    story.speak_badly()
    story.command()
    enter(story)
    story.rotate()
    story.look()
    story.play()
    story.demonstrate()
    story.kill()
    story.crash()
    story.stop()
    story.gather()
    return story


def protect(server: Postgres, vault: Vault) -> str:
    """Let nobody but the server's owner in without a password; return the URL that has it."""
    server.rows(f"CREATE ROLE {USER} LOGIN PASSWORD '{vault['database password']}'")
    server.rows(f"CREATE DATABASE leaks OWNER {USER}")
    lines = "host all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
    (server.data / "pg_hba.conf").write_text(lines)
    server.rows("SELECT pg_reload_conf()")
    return with_password(server.url("leaks"), USER, vault["database password"])
