"""Two versions on one database: a rolling change loses nothing, in either direction."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from tests.acceptance.deployment import until
from tests.faults.cluster import Cluster
from tests.faults.conftest import Make
from tests.faults.planted import planted

# A next version: it adds a column and a table, and writes the column with every choice.
_MIGRATION = '''"""The next schema."""

import sqlalchemy as sa
from alembic import op

revision = "{number:04}"
down_revision = "{before:04}"


def upgrade() -> None:
    op.add_column("offers", sa.Column("written_by", sa.Text(), nullable=True))
    op.create_table("notes", sa.Column("id", sa.Integer(), primary_key=True))
    op.create_index("offers_written_by", "offers", ["written_by"])
'''
_EDITS = [
    (
        "schema.py",
        '    Column("customer", LargeBinary),',
        '    Column("written_by", Text), Column("customer", LargeBinary),',
    ),
    (
        "store.py",
        "insert(offers).values({name: bindparam(name) for name in _NAMES})",
        (
            "insert(offers).values({name: bindparam(name) for name in _NAMES}"
            ' | {"written_by": text("\'next\'")})'
        ),
    ),
]


def _head() -> int:
    versions = Path(__file__).resolve().parents[2] / "proxy" / "migrations" / "versions"
    return max(int(path.name[1:5]) for path in versions.glob("v*.py"))


@pytest.fixture
def following(tmp_path: Path) -> Path:
    """The next version of the program."""
    folder = planted(tmp_path / "following", _EDITS)
    number = _head() + 1
    path = folder / "proxy" / "migrations" / "versions" / f"v{number:04}_following.py"
    path.write_text(_MIGRATION.format(number=number, before=number - 1))
    return folder


class Customers:
    """They decline one offer after the other, each until it is acknowledged by some web process."""

    def __init__(self, cluster: Cluster, webs: list[str]) -> None:
        self._cluster = cluster
        self._webs = webs
        self._closed = threading.Event()
        self.acknowledged: dict[str, str] = {}  # offer to web process

    def _run(self, first: int) -> None:
        number = first
        while not self._closed.is_set():
            number += 2
            offer = f"offer-{number}"
            while offer not in self.acknowledged:
                self._try(offer, number)

    def _try(self, offer: str, number: int) -> None:
        for web in list(self._webs):
            try:
                answer = self._cluster.say(offer, web=web, seq=number)
            except requests.RequestException:
                continue
            if answer.status_code == 202:
                self.acknowledged[offer] = web
                return
            assert answer.status_code == 503, answer.text

    @contextmanager
    def shopping(self) -> Iterator[None]:
        """Two customers at a time, as long as the block lasts."""
        threads = [threading.Thread(target=self._run, args=(n,), daemon=True) for n in (0, 1)]
        for thread in threads:
            thread.start()
        yield
        self._closed.set()
        for thread in threads:
            thread.join()

    def more(self, web: str, count: int = 20) -> None:
        """Wait until *web* has acknowledged *count* more."""
        goal = self._by(web) + count
        until(lambda: self._by(web) >= goal, f"{web} to acknowledge")

    def _by(self, web: str) -> int:
        return list(self.acknowledged.values()).count(web)


def test_a_rolling_change_of_version_loses_nothing(
    make_cluster: Make, postgres_url: str, following: Path
) -> None:
    """Schema first, then one process after the other, under load."""
    cluster = make_cluster(postgres_url)
    old = [cluster.start_web("web-1", "--no-worker"), cluster.start_worker("work-1")]
    customers = Customers(cluster, webs := ["web-1"])
    with customers.shopping():
        customers.more("web-1")
        cluster.migrate(code=following)
        customers.more("web-1")  # the version before goes on with the next schema
        cluster.start_web("web-2", "--no-worker", code=following)
        cluster.start_worker("work-2", code=following)
        webs.append("web-2")
        webs.remove("web-1")  # as a load balancer does before it lets a process go
        customers.more("web-2")
        assert [process.stop() for process in old] == [0, 0]
        cluster.start_web("web-1", "--no-worker")  # rolled back half way: it starts as well
        webs.append("web-1")
        webs.remove("web-2")
        customers.more("web-1")
    expected = set(customers.acknowledged)

    until(lambda: cluster.delivered() >= expected, "every delivery")
    assert cluster.delivered() == expected
    seen = cluster.received()
    assert all(one["verified"] for one in seen)
    assert len({(one["offer"], one["idempotency_key"]) for one in seen}) == len(expected)


@pytest.mark.thorough
def test_an_embedded_database_goes_one_version_back(make_cluster: Make, following: Path) -> None:
    """The next version has migrated the file; this one goes on with it."""
    cluster = make_cluster("sqlite:///optout.db")
    newer = cluster.start_web(code=following)
    assert cluster.say("offer-1").status_code == 202
    until(lambda: cluster.delivered() == {"offer-1"}, "a delivery")
    assert newer.stop() == 0

    cluster.start_web()
    assert cluster.say("offer-2").status_code == 202
    until(lambda: cluster.delivered() == {"offer-1", "offer-2"}, "both deliveries")


def test_two_versions_back_is_refused(make_cluster: Make, database: str, following: Path) -> None:
    """In one sentence, with the way out, and nothing is touched."""
    versions = following / "proxy" / "migrations" / "versions"
    number = _head() + 2
    body = f'revision = "{number:04}"\ndown_revision = "{number - 1:04}"\n\n\ndef upgrade(): ...\n'
    (versions / f"v{number:04}_later.py").write_text(body)
    cluster = make_cluster(database)
    cluster.migrate(code=following)

    status, said = cluster.command("work")
    assert (status, "Traceback" in said) == (2, False)
    assert "newer version of optout-proxy" in said
