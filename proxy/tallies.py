"""Numbers that several processes count together, in memory that was made before the fork.

Each process writes in a room of its own and reads all of them. Whoever is killed leaves the room
as it stands, and a successor counts on from there: nothing is lost and nothing is counted twice.
There is no file: a full disk stops nobody who counts, and nothing is left behind.
"""

import json
import mmap
import struct
import threading
from collections import defaultdict
from collections.abc import Collection

import structlog

ROOM = 2 << 20  # bytes for one process: some 15,000 numbers
_WORD = 8  # bytes of a number; the first of a room says how far it is written
_LENGTH = struct.Struct("=I")

Key = tuple[str, ...]  # what is counted, and its labels

log = structlog.get_logger()


class Tallies:
    """Numbers by key; safe to use from many threads, and across a fork from many processes."""

    def __init__(self, rooms: int = 1) -> None:
        self._bytes = mmap.mmap(-1, rooms * ROOM)
        self._numbers = memoryview(self._bytes).cast("d")  # one store each: never half written
        self._ends = memoryview(self._bytes).cast("Q")
        self._read = [(_WORD, list[tuple[Key, int]]()) for _ in range(rooms)]
        self._lock = threading.RLock()  # reentrant: the line that says it is full is counted too
        self._is_full = False
        self._room = 0
        self._places: dict[Key, int] = {}

    def enter(self, room: int) -> None:
        """Count on in *room*, from where whoever was there before has stopped."""
        self._lock = threading.RLock()
        self._room = room
        self._places = dict(self._entries(room))

    def add(self, key: Key, amount: float = 1.0) -> None:
        """Count *amount* more of *key*; for ever dropped, and said once, where no place is left."""
        with self._lock:
            place = self._places.get(key) or self._make(key)
            if place:
                self._numbers[place] += amount

    def clear(self, room: int, names: Collection[str]) -> None:
        """Set what is called one of *names* in *room* to zero: its process is gone."""
        for key, place in self._entries(room):
            if key[0] in names:
                self._numbers[place] = 0.0

    def sums(self) -> dict[Key, float]:
        """Return the sum over all rooms by key."""
        found: defaultdict[Key, float] = defaultdict(float)
        for room in range(len(self._read)):
            for key, place in self._entries(room):
                found[key] += self._numbers[place]
        return dict(found)

    def _make(self, key: Key) -> int | None:
        """Write *key* behind the last one; what says how far it is written follows when it is."""
        text = json.dumps(key).encode()
        start, end = self._room * ROOM, self._end(self._room)
        after = end + -(-(_LENGTH.size + len(text)) // _WORD) * _WORD
        if after + _WORD > ROOM:
            self._tell_full(key[0])
            return None
        at = start + end
        self._bytes[at : at + _LENGTH.size] = _LENGTH.pack(len(text))
        self._bytes[at + _LENGTH.size : at + _LENGTH.size + len(text)] = text
        place = self._places[key] = (start + after) // _WORD
        self._numbers[place] = 0.0
        self._ends[start // _WORD] = after + _WORD
        return place

    def _entries(self, room: int) -> list[tuple[Key, int]]:
        """Return the keys of *room* and their places; what was read before is not read again."""
        at, entries = self._read[room]
        end = self._end(room)
        if at < end:
            entries = entries.copy()  # another thread may go through the old one
        while at < end:
            start = room * ROOM + at
            (length,) = _LENGTH.unpack_from(self._bytes, start)
            text = self._bytes[start + _LENGTH.size : start + _LENGTH.size + length]
            at += -(-(_LENGTH.size + length) // _WORD) * _WORD
            entries.append((tuple(json.loads(text)), (room * ROOM + at) // _WORD))
            at += _WORD
        self._read[room] = (at, entries)
        return entries

    def _end(self, room: int) -> int:
        return int(self._ends[room * ROOM // _WORD]) or _WORD

    def _tell_full(self, name: str) -> None:
        if not self._is_full:
            self._is_full = True
            log.error("counters.full", name=name)
