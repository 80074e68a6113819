"""What a process that runs for long sets for itself before it opens anything."""

import ctypes
import os
import resource
from contextlib import suppress

MOST_FILES = 65_536
_ARENA_MAX, _ARENAS = -8, 2  # M_ARENA_MAX of glibc's malloc.h, and how many of them


def settle() -> None:
    """Make files for nobody else's eyes, and allow as many open ones as the system lets us have.

    A usual limit of 1,024 would be met by 1,000 connections and what serves them.
    """
    os.umask(0o077)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    _share_heaps()


def _share_heaps() -> None:
    """Let all threads use the same few heaps of the C library; each has its own otherwise.

    None gives back what its fullest moment took, and there are as many as threads, up to 16.
    """
    with suppress(AttributeError):  # another C library has no such thing
        ctypes.CDLL(None).mallopt(_ARENA_MAX, _ARENAS)
