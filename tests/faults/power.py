"""A disk that may lose what was not synced. Knows files, writes and syncs; knows no database.

A power cut leaves, of every file, what was synced; each later change is there, or not, or (a
write) in part, sector by sector; they need not survive in the order in which they were made.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import PurePosixPath

SECTOR = 512


@dataclass(frozen=True, slots=True)
class Created:
    """A name that was not there is there now, and its file is empty."""

    name: str


@dataclass(frozen=True, slots=True)
class Written:
    """Bytes were handed to the system for a place in a file."""

    name: str
    offset: int
    content: bytes


@dataclass(frozen=True, slots=True)
class Resized:
    """A file was cut off, or lengthened with zeros."""

    name: str
    size: int


@dataclass(frozen=True, slots=True)
class Unlinked:
    """A name is gone."""

    name: str


@dataclass(frozen=True, slots=True)
class Renamed:
    """A file has another name now."""

    name: str
    to: str


@dataclass(frozen=True, slots=True)
class SyncBegan:
    """A thread asked that what was written so far be made durable; a folder's name ends in /."""

    name: str
    thread: int


@dataclass(frozen=True, slots=True)
class Synced:
    """That thread was told that it is."""

    name: str
    thread: int


Change = Created | Written | Resized | Unlinked | Renamed | SyncBegan | Synced


class Fate(Enum):
    """What a power cut does to one change that was not synced."""

    KEPT = auto()
    DROPPED = auto()
    TORN = auto()  # some sectors of a write; for any other change: dropped
    HOLLOW = auto()  # of a write only the file's new length; for any other change: dropped


Plan = Callable[[int, int], Fate]  # which fate has the nth of so many changes


def all_dropped(_nth: int, _of: int) -> Fate:
    """Nothing that was not synced survives."""
    return Fate.DROPPED


def all_kept(_nth: int, _of: int) -> Fate:
    """Everything survives: as after `kill -9`."""
    return Fate.KEPT


def first_only(nth: int, _of: int) -> Fate:
    """Only the first change survives."""
    return Fate.KEPT if nth == 0 else Fate.DROPPED


def last_only(nth: int, of: int) -> Fate:
    """Only the last change survives, and none before it."""
    return Fate.KEPT if nth == of - 1 else Fate.DROPPED


def all_torn(_nth: int, _of: int) -> Fate:
    """Every write is torn."""
    return Fate.TORN


def all_hollow(_nth: int, _of: int) -> Fate:
    """The files have their new lengths and nothing of their new content."""
    return Fate.HOLLOW


EXTREMES: tuple[Plan, ...] = (all_dropped, all_kept, first_only, last_only, all_torn, all_hollow)


def by_chance(dice: random.Random) -> Plan:
    """Each change has a fate of its own; how many are lost differs from plan to plan."""
    kept = dice.choice((0.05, 0.5, 0.95))
    others = (Fate.DROPPED, Fate.DROPPED, Fate.TORN, Fate.TORN, Fate.HOLLOW)
    return lambda _nth, _of: Fate.KEPT if dice.random() < kept else dice.choice(others)


@dataclass(eq=False, slots=True)
class _File:
    durable: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, Written | Resized]] = field(default_factory=list)


class Disk:
    """What is durable and what is not, at one moment of a recording."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self._now = {name: _File(bytearray(content)) for name, content in files.items()}
        self._durable = dict(self._now)
        self._entries: list[tuple[int, str, dict[str, _File | None]]] = []  # with their folder
        self._moment = 0
        self._asked: dict[tuple[str, int], int] = {}

    def apply(self, change: Change) -> None:
        """Move on by one change."""
        self._moment += 1
        match change:
            case Created(name):
                self._enter(name, {name: _File()})
            case Written(name) | Resized(name):
                self._now[name].pending.append((self._moment, change))
            case Unlinked(name):
                self._enter(name, {name: None})
            case Renamed(name, to):
                self._enter(to, {name: None, to: self._now[name]})
            case SyncBegan(name, thread):
                self._asked[name, thread] = self._moment
            case Synced(name, thread):
                self._sync(name, self._asked.pop((name, thread)))

    def pending(self, name: str | None = None) -> int:
        """Return how many changes a power cut may still undo: all, or those inside one file."""
        if name is not None:
            return len(self._now[name].pending) if name in self._now else 0
        return len(self._entries) + sum(len(file.pending) for file in self._files())

    def crash(self, plan: Plan, dice: random.Random) -> tuple[dict[str, bytearray], int]:
        """Return the files as a power cut may leave them, and a number for what was lost."""
        moments = [moment for moment, _, _ in self._entries]
        moments += [moment for file in self._files() for moment, _ in file.pending]
        fates = _Fates(sorted(moments), plan, dice)
        entries = dict[str, _File | None](self._durable)
        for moment, _, entered in self._entries:
            if fates.of[moment] is Fate.KEPT:
                entries |= entered
        contents = {id(file): _left(file, fates) for file in self._files()}
        left = {name: contents[id(file)] for name, file in entries.items() if file is not None}
        return left, hash((tuple(fates.of.values()), tuple(fates.torn)))

    def _files(self) -> Iterator[_File]:
        """Yield every file that may be there after a cut, once, in a fixed order."""
        entered = [file for _, _, names in self._entries for file in names.values()]
        files = [*self._durable.values(), *self._now.values(), *entered]
        yield from {id(file): file for file in files if file is not None}.values()

    def _enter(self, name: str, entered: dict[str, _File | None]) -> None:
        self._entries.append((self._moment, _folder(name), entered))
        _put(self._now, entered)

    def _sync(self, name: str, moment: int) -> None:
        if not name.endswith("/"):
            file = self._now[name]
            for made, change in file.pending:
                if made <= moment:
                    _do(file.durable, change)
            file.pending = [(made, change) for made, change in file.pending if made > moment]
            return
        left = []
        for made, folder, entered in self._entries:
            if folder == name and made <= moment:
                _put(self._durable, entered)
            else:
                left.append((made, folder, entered))
        self._entries = left


class _Fates:
    """What one power cut does to each change, by the moment of the change."""

    def __init__(self, moments: list[int], plan: Plan, dice: random.Random) -> None:
        self.of = {moment: plan(nth, len(moments)) for nth, moment in enumerate(moments)}
        self.torn: list[tuple[bool, ...]] = []
        self._dice = dice

    def sectors(self, count: int) -> tuple[bool, ...]:
        """Return which of *count* sectors of a torn write survive: never all of them."""
        kept = [self._dice.random() < 0.5 for _ in range(count)]
        kept[self._dice.randrange(count)] = False
        self.torn.append(tuple(kept))
        return self.torn[-1]


def _left(file: _File, fates: _Fates) -> bytearray:
    content = bytearray(file.durable)
    for moment, change in file.pending:
        fate = fates.of[moment]
        if fate is Fate.KEPT:
            _do(content, change)
        elif isinstance(change, Written) and fate is Fate.TORN:
            _tear(content, change, fates)
        elif isinstance(change, Written) and fate is Fate.HOLLOW:
            _lengthen(content, change.offset + len(change.content))
    return content


def _do(content: bytearray, change: Written | Resized) -> None:
    if isinstance(change, Resized):
        del content[change.size :]
        _lengthen(content, change.size)
        return
    _lengthen(content, change.offset)
    content[change.offset : change.offset + len(change.content)] = change.content


def _tear(content: bytearray, change: Written, fates: _Fates) -> None:
    """Keep those sectors of the disk, not of the write, that survive."""
    end = change.offset + len(change.content)
    first = change.offset // SECTOR
    for nth, kept in enumerate(fates.sectors((end - 1) // SECTOR - first + 1), first):
        start, stop = max(nth * SECTOR, change.offset), min((nth + 1) * SECTOR, end)
        if kept:
            part = change.content[start - change.offset : stop - change.offset]
            _do(content, Written(change.name, start, part))


def _lengthen(content: bytearray, size: int) -> None:
    content.extend(bytes(max(0, size - len(content))))


def _put(names: dict[str, _File], entered: dict[str, _File | None]) -> None:
    for name, file in entered.items():
        if file is None:
            names.pop(name, None)
        else:
            names[name] = file


def _folder(name: str) -> str:
    return f"{PurePosixPath(name).parent}/"
