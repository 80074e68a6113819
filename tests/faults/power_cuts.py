"""Cut the power at chosen moments of a recording, and judge what is left each time."""

import random
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tests.faults.power import EXTREMES, Disk, Plan, Synced, all_dropped, by_chance
from tests.faults.power_recording import Acknowledged, Event, Recording, Reported
from tests.faults.power_verdict import Judge, World

_MEMORY = Path("/dev/shm")  # noqa: S108  # states are many, large, and short-lived
_DATABASE = "optout.db"
_TRIES = 5  # to find a state that is not one of those before


@dataclass(frozen=True, slots=True)
class Cut:
    """The power is cut before the event of this number."""

    before: int
    plan: Plan | None  # None: by chance


@dataclass(frozen=True, slots=True)
class Outcome:
    """How many different states were judged, how many of them at a checkpoint, what was wrong."""

    states: int
    at_checkpoints: int
    faults: list[str]


def cut(recording: Recording, states: int, seed: int) -> Outcome:
    """Judge up to *states* different disks that power cuts may leave, spread over the recording."""
    dice = random.Random(seed)
    world, disk = World(recording.told), Disk(recording.before)
    judge = Judge()
    seen: set[tuple[int, int]] = set()
    faults: list[str] = []
    at_checkpoints = reached = 0
    for one in _cuts(recording, states, dice):
        for event in recording.events[reached : one.before]:
            pass_over(event, world, disk)
        reached = one.before
        files = _new_state(one, disk, dice, seen)
        if files is not None:
            at_checkpoints += disk.pending(_DATABASE) > 0
            with tempfile.TemporaryDirectory(dir=_MEMORY if _MEMORY.is_dir() else None) as folder:
                write(Path(folder), files)
                found = judge.faults(Path(folder), world)
            faults += [f"{_described(one, recording)}: {fault}" for fault in found]
    return Outcome(len(seen), at_checkpoints, faults)


def _cuts(recording: Recording, states: int, dice: random.Random) -> list[Cut]:
    """Return the cuts in their order: about half of them the extremes, half of them by chance."""
    moments = _Moments.of(recording)
    cuts = [Cut(moment, all_dropped) for moment in _spread(moments.quiet, states // 10)]
    for moment in _spread(moments.busy, states * 9 // 20 // len(EXTREMES)):
        cuts += [Cut(moment, plan) for plan in EXTREMES]
    chances = (moments.syncs, moments.checkpoints, moments.busy)
    while len(cuts) < states:
        cuts.append(Cut(dice.choice(dice.choice(chances)), None))
    return sorted(cuts, key=lambda one: one.before)


@dataclass(frozen=True, slots=True)
class _Moments:
    """Where in a recording the power may be cut, by what that may do."""

    quiet: list[int] = field(default_factory=list)  # just told, and nothing may be lost: one state
    busy: list[int] = field(default_factory=list)  # several changes may be lost
    syncs: list[int] = field(default_factory=list)  # just before a sync has done its work
    checkpoints: list[int] = field(default_factory=list)  # changes of the database may be lost

    @classmethod
    def of(cls, recording: Recording) -> Self:
        """Return the moments of *recording*."""
        found, disk, world = cls(), Disk(recording.before), World(recording.told)
        for moment, event in enumerate(recording.events, 1):
            pass_over(event, world, disk)
            if disk.pending() > 1:
                found.busy.append(moment)
                upcoming = recording.events[moment : moment + 1]
                if any(isinstance(event, Synced) for event in upcoming):
                    found.syncs.append(moment)
                if disk.pending(_DATABASE) > 1:
                    found.checkpoints.append(moment)
            elif isinstance(event, Acknowledged | Reported):
                found.quiet.append(moment)
        return found


def _spread(moments: list[int], count: int) -> list[int]:
    count = min(count, len(moments))
    return [moments[nth * len(moments) // count] for nth in range(count)]


def pass_over(event: Event, world: World, disk: Disk) -> None:
    """Let *event* happen to the world or to the disk."""
    match event:
        case Acknowledged(id_):
            world.acknowledged.add(id_)
        case Reported(offer):
            world.reported[offer] += 1
        case _:
            disk.apply(event)


def _new_state(
    one: Cut, disk: Disk, dice: random.Random, seen: set[tuple[int, int]]
) -> dict[str, bytearray] | None:
    """Return a state that was not judged yet; None if there is hardly another at this moment."""
    plan = one.plan
    for _ in range(_TRIES):
        files, lost = disk.crash(plan or by_chance(dice), dice)
        if (one.before, lost) not in seen:
            seen.add((one.before, lost))
            return files
        plan = None
    return None


def write(folder: Path, files: dict[str, bytearray]) -> None:
    """Put *files* into *folder*, as open as secrets may be."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(0o600)


def _described(one: Cut, recording: Recording) -> str:
    plan = one.plan.__name__ if one.plan else "by chance"
    return f"cut before event {one.before} of {len(recording.events)}, {plan}"
