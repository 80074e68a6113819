"""The log: a line is written or dropped and counted; nobody waits for it."""

import fcntl
import io
import os
import threading
import time
from collections.abc import Iterator

import pytest

from proxy.logs import Unfailing

PATIENCE_S = 30.0


class Slow(io.StringIO):
    """A stream that is always ready, and takes its time with the first line."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = threading.Event()
        self.go_on = threading.Event()

    def write(self, text: str) -> int:
        """Take *text*, once it is let."""
        self.begun.set()
        assert self.go_on.wait(PATIENCE_S)
        return super().write(text)


@pytest.fixture
def slow() -> Iterator[Slow]:
    """A stream that hangs until it is let go on."""
    slow = Slow()
    yield slow
    slow.go_on.set()


def test_nobody_waits_for_another_line(slow: Slow) -> None:
    """Room for one line may be no room for two: the second is not begun, but dropped and told."""
    log = Unfailing(slow)
    first = threading.Thread(target=log.write, args=("first\n",), daemon=True)
    first.start()
    assert slow.begun.wait(PATIENCE_S)
    second = threading.Thread(target=log.write, args=("second\n",), daemon=True)
    second.start()
    second.join(PATIENCE_S / 2)

    assert not second.is_alive()
    slow.go_on.set()
    first.join()
    log.write("third\n")
    assert slow.getvalue() == 'first\n{"event": "log.dropped", "lines": 1}\nthird\n'


def test_a_pipe_with_room_for_one_line_takes_one() -> None:
    """Whoever else writes at that moment goes on without."""
    out, into = os.pipe()
    fcntl.fcntl(into, fcntl.F_SETPIPE_SZ, 4096)
    with os.fdopen(into, "w", buffering=1) as pipe, os.fdopen(out, "rb", buffering=0) as reader:
        log, together = Unfailing(pipe), threading.Barrier(8)

        def tell() -> None:
            together.wait(PATIENCE_S)
            log.write("x" * 3_000 + "\n")

        threads = [threading.Thread(target=tell, daemon=True) for _ in range(8)]
        for thread in threads:
            thread.start()
        end = time.monotonic() + PATIENCE_S
        for thread in threads:
            thread.join(max(0.0, end - time.monotonic()))
        assert not any(thread.is_alive() for thread in threads)
        assert log.dropped == 7
        assert reader.read(8_192) == b"x" * 3_000 + b"\n"
