"""`check` and `audit verify` beside a running service and after a crash: they read, and name."""

import hashlib
from pathlib import Path

from sqlalchemy import create_engine, text

from tests.acceptance.deployment import until
from tests.faults.cluster import Cluster
from tests.faults.conftest import Make


def _delivered(cluster: Cluster, count: int) -> None:
    for number in range(count):
        assert cluster.say(f"offer-{number}").status_code == 202
    until(lambda: len(cluster.delivered()) == count, "every delivery")


def _hashes(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.iterdir()
        if path.name in ("optout.db", "optout.db-wal")
    }


def test_both_find_nothing_beside_a_running_service(cluster: Cluster) -> None:
    """They may be run at any time, and change nothing that it does."""
    _delivered(cluster, 3)

    assert cluster.command("check")[0] == 0
    status, said = cluster.command("audit", "verify")
    assert (status, "3 offers and all their facts are as they were written" in said) == (0, True)
    assert cluster.say("offer-9").status_code == 202


def test_a_changed_row_is_named(make_cluster: Make, database: str) -> None:
    """By its id, with exit status 1, and no traceback."""
    cluster = make_cluster(database)
    web = cluster.start_web()
    _delivered(cluster, 3)
    assert web.stop() == 0
    url = f"sqlite:///{cluster.folder}/optout.db" if database.startswith("sqlite") else database
    engine = create_engine(url)
    with engine.begin() as connection:
        change = "UPDATE offers SET choice = 'accepted' WHERE offer = 'offer-1' RETURNING id"
        row = connection.execute(text(change)).scalar_one()
    engine.dispose()

    status, said = cluster.command("audit", "verify")
    assert (status, "Traceback" in said) == (1, False)
    assert f"offer {row}: not what its last fact says: choice" in said


def test_check_leaves_what_a_crash_has_left(make_cluster: Make) -> None:
    """The log beside the file may be evidence; SQLite would copy it away and remove it."""
    cluster = make_cluster("sqlite:///optout.db")
    web = cluster.start_web()
    _delivered(cluster, 3)
    web.kill()
    before = _hashes(cluster.folder)

    assert cluster.command("check")[0] == 0
    assert cluster.command("audit", "verify")[0] == 0
    assert _hashes(cluster.folder) == before
    assert len(before) == 2


def test_an_audit_key_that_is_gone_is_not_made_anew(make_cluster: Make, database: str) -> None:
    """Under a new key everything on record would look forged."""
    cluster = make_cluster(database)
    web = cluster.start_web()
    _delivered(cluster, 1)
    assert web.stop() == 0
    (cluster.folder / "audit").unlink()

    web = cluster.start_web(wait=False)
    assert web.child is not None
    assert web.child.wait(60) == 2
    assert "is gone, and facts are on record under it; restore it" in web.log.read_text()
    assert not (cluster.folder / "audit").exists()
    assert cluster.command("audit", "verify")[0] == 2
