"""How long `demo --check` takes: from its start to the last of its five proofs."""

import re
import subprocess
import sys
import time
from collections.abc import Iterator

from bench.progress import say
from bench.row import Row, measured

ROUNDS = 7
COMMAND = [sys.executable, "-m", "proxy", "demo", "--check"]
SAID = re.compile(r"All 5 declines verified by the insurer in ([\d.]+) s")


def rows(*, quick: bool = False) -> Iterator[Row]:
    """Yield the rows of the table; the first run warms the file cache and is not counted."""
    rounds = 1 if quick else ROUNDS
    proven, whole = [], []
    for number in range(rounds + 1):
        say(f"demo: round {number} of {rounds}")
        begun = time.perf_counter()
        done = subprocess.run(COMMAND, capture_output=True, text=True, check=True)
        taken = time.perf_counter() - begun
        told = SAID.search(done.stdout)
        assert told is not None, done.stdout
        if number:
            proven.append(float(told[1]))
            whole.append(taken)
    yield measured("demo, start to five proofs", proven, "s", digits=1, at_most=5)
    yield measured("demo --check, the whole command", whole, "s", digits=1)
