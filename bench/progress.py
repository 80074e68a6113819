"""What is being measured, on standard error: the table alone goes to standard output."""

import sys
import time


def say(what: str) -> None:
    """Say what happens now."""
    print(f"{time.strftime('%H:%M:%S')} {what}", file=sys.stderr, flush=True)
