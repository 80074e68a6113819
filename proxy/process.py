"""What a process that runs for long sets for itself before it opens anything."""

import os
import resource

MOST_FILES = 65_536


def settle() -> None:
    """Make files for nobody else's eyes, and allow as many open ones as the system lets us have.

    A usual limit of 1,024 would be met by 1,000 connections and what serves them.
    """
    os.umask(0o077)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
