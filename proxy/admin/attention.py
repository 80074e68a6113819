"""What needs a person first, worst first: each with what to do about it."""

from collections.abc import Iterator
from typing import NamedTuple

from flask import url_for

from proxy.admin.reasons import reason
from proxy.admin.words import number, span
from proxy.alerts import OVERDUE_MS
from proxy.overview import MANY, MINUTE_MS, Now, Pair, Stopped
from proxy.verifier import Run

_NAMED = 5  # upstreams
_UNSEALED_MS = 10 * MINUTE_MS  # the sealer comes by every minute


class Item(NamedTuple):
    """One thing that a person should look at."""

    kind: str  # `bad`, or `warn`
    title: str
    advice: str
    place: str | None = None  # where to look


def items(now: Now, alarm: str | None, run: Run | None) -> list[Item]:
    """Return what needs a person; *run* is the last verification in this process."""
    found = [*_settings(alarm), *_verified(run), *_paused(now), *_late(now)]
    return [*found, *_waiting(now), *_unsealed(now), *_throttled(now)]


def names(pairs: tuple[Pair, ...]) -> str:
    """Return whose a credential is, as far as that is known."""
    return ", ".join(f"{partner}/{upstream}" for partner, upstream in pairs)


def _settings(alarm: str | None) -> Iterator[Item]:
    if alarm:
        yield Item("bad", "The newest settings are refused; the ones before stay in force", alarm)


def _verified(run: Run | None) -> Iterator[Item]:
    if run and run.found and not run.found.holds:
        yield Item(
            "bad",
            "The record is not what was written",
            "The last verification found rows that were changed. Keep the database as it is.",
            url_for("seals.show"),
        )


def _paused(now: Now) -> Iterator[Item]:
    for one in filter(lambda one: one.is_paused, now.stopped):
        whose = f" of {names(one.pairs)}" if one.pairs else ""
        yield Item(
            "bad",
            f"A credential{whose} is paused: {_why(one)}",
            f"Its reports have waited for {span(now.at - (one.since or now.at))}; nothing is lost."
            " Write the right secret into its file: it is tried again"
            f" {_soon(one.until - now.at)}.",
            url_for("partners.shown", name=one.pairs[0][0]) if one.pairs else None,
        )


def _late(now: Now) -> Iterator[Item]:
    known = {pair for one in now.stopped for pair in one.pairs}
    late = sorted(
        (at, f"{partner}/{upstream}")
        for (partner, upstream), at in now.due.items()
        if now.at - at > OVERDUE_MS and (partner, upstream) not in known
    )
    if late:
        named = ", ".join(f"{name} for {span(now.at - at)}" for at, name in late[:_NAMED])
        more = f" and {len(late) - _NAMED} more" if len(late) > _NAMED else ""
        yield Item(
            "bad",
            f"Reports of {late[0][1] if len(late) == 1 else f'{len(late)} upstreams'} are overdue",
            f"Due: {named}{more}. The insurer may be down, or the pace too slow for what comes in.",
            url_for("deliveries.listed", report="due"),
        )


def _waiting(now: Now) -> Iterator[Item]:
    if now.dead:
        yield Item(
            "warn",
            f"{_many(now.dead)} dead letter{'' if now.dead == 1 else 's'}",
            "Reports that were given up; each says why. Mend the cause, then requeue.",
            url_for("dead_letters.listed"),
        )
    if now.conflicts:
        yield Item(
            "warn",
            f"{_many(now.conflicts)} conflict{'' if now.conflicts == 1 else 's'}",
            "What is known contradicts itself; only the insurer can say what stands.",
            url_for("conflicts.waiting"),
        )


def _unsealed(now: Now) -> Iterator[Item]:
    since = now.unsealed_since
    if since is not None and now.at - since > _UNSEALED_MS:
        yield Item(
            "warn",
            "Facts wait for their seal",
            f"The oldest for {span(now.at - since)}. Every worker seals once a minute: see whether"
            " one runs.",
            url_for("seals.show"),
        )


def _throttled(now: Now) -> Iterator[Item]:
    for one in now.stopped:
        if not one.is_paused:
            whose = f" for {names(one.pairs)}" if one.pairs else ""
            yield Item(
                "warn",
                f"The insurer asks to slow down{whose}",
                f"Nothing is sent for {span(one.until - now.at)}. If it lasts, lower"
                " rate_per_second.",
            )


def _why(one: Stopped) -> str:
    return reason(one.reason) or one.reason.replace("_", " ")


def _soon(ms: int) -> str:
    return f"in {span(ms)}" if ms > 0 else "now"


def _many(count: int) -> str:
    return number(count) if count <= MANY else f"More than {number(MANY)}"
