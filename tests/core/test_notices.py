"""Notices: what is recorded in one process is known in another before its next poll."""

import queue
from collections.abc import Iterator

import pytest
from sqlalchemy import create_engine, make_url, text

from proxy.notices import CHANNEL, POLL_MS, Notices

PATIENCE_S = 30.0


@pytest.fixture
def heard() -> "queue.Queue[int]":
    """What the listening process was told."""
    return queue.Queue()


@pytest.fixture
def listener(postgres: str, heard: "queue.Queue[int]") -> Iterator[Notices]:
    """A process that listens."""
    notices = Notices(make_url(postgres), heard.put)
    notices.start(listen=True)
    assert heard.get(timeout=PATIENCE_S) == 0  # it has begun to listen, and looks once
    yield notices
    notices.stop()


@pytest.fixture
def teller(postgres: str) -> Iterator[Notices]:
    """A process that records and listens to nobody."""
    notices = Notices(make_url(postgres), lambda _: None)
    notices.start(listen=False)
    yield notices
    notices.stop()


@pytest.mark.usefixtures("listener")
def test_what_is_due_now_is_heard(teller: Notices, heard: "queue.Queue[int]") -> None:
    """Nobody waits for a poll."""
    teller.tell(0)

    assert heard.get(timeout=PATIENCE_S) == 0


@pytest.mark.usefixtures("listener")
def test_what_is_due_later_is_heard_with_its_time(
    teller: Notices, heard: "queue.Queue[int]"
) -> None:
    """The span that is left, not more than was said."""
    teller.tell(POLL_MS - 1)

    assert 0 <= heard.get(timeout=PATIENCE_S) < POLL_MS


@pytest.mark.usefixtures("listener")
def test_a_broken_connection_is_made_anew(
    postgres: str, teller: Notices, heard: "queue.Queue[int]"
) -> None:
    """The ear outlives its connection, and looks once for what it missed."""
    _execute(
        postgres,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE application_name = 'optout-proxy'",
    )

    assert heard.get(timeout=PATIENCE_S) == 0
    teller.tell(0)
    assert heard.get(timeout=PATIENCE_S) == 0


@pytest.mark.usefixtures("listener")
@pytest.mark.parametrize("payload", ["", "soon", "-5", "9" * 30, "٣"])
def test_what_strangers_notify_means_now_or_the_next_poll(
    postgres: str, heard: "queue.Queue[int]", payload: str
) -> None:
    """Whoever may connect may notify; the worst is one look too many."""
    _execute(postgres, f"NOTIFY {CHANNEL}, '{payload}'")

    assert 0 <= heard.get(timeout=PATIENCE_S) <= POLL_MS


def _execute(url: str, statement: str) -> None:
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()
