"""The pages about dead letters: in piles, and sent again one by one, some, or a pile at a time."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, url_for
from sqlalchemy import Connection, RowMapping
from werkzeug.wrappers import Response

from proxy import piles
from proxy.admin import asked
from proxy.admin.access import operators_only, recently_confirmed, record, session, user_name
from proxy.admin.callers import parts
from proxy.admin.parts import Parts
from proxy.admin.reasons import reason
from proxy.errors import Problem
from proxy.piles import BEGIN, Mark, Pile

SIZE = 50  # of a page
AT_ONCE = 500  # requeued in one request, and in one commit
_NAMES = ("partner", "upstream", "outcome", "status")
_HIGHEST_STATUS = 999  # what HTTP writes in three digits
_UNDER_WAY = "requeue"  # of the session


def blueprint(_parts: Parts) -> Blueprint:
    """Return the pages."""
    pages = Blueprint("dead_letters", __name__)
    pages.get("/dead-letters")(listed)
    pages.get("/dead-letters/requeue")(to_requeue)
    pages.post("/dead-letters/requeue")(requeue)
    return pages


def listed() -> str:
    """Show the piles, or what lies in one of them."""
    given = asked.fields(*_NAMES, "after")
    pile, after = _pile(given), _mark(given.get("after"))
    with parts().database.snapshot() as connection:
        now = parts().database.now(connection)
        return _all(connection, now) if pile is None else _one(connection, pile, after, now)


def _all(connection: Connection, now: int) -> str:
    heaps, counted = piles.heaps(connection, now)
    told = [(heap, _fields_of(heap)) for heap in heaps]
    under_way = session().get(_UNDER_WAY)
    return _page("dead_letters", heaps=told, counted=counted, under_way=under_way)


def _one(connection: Connection, pile: Pile, after: Mark, now: int) -> str:
    found = piles.letters(connection, pile, now, after=after, limit=SIZE + 1)
    return _page(
        "pile",
        pile=pile,
        fields=_fields_of(pile),
        rows=found[:SIZE],
        count=piles.size(connection, pile),
        is_first=after == BEGIN,
        more=_text(_mark_of(found[SIZE - 1])) if len(found) > SIZE else None,
    )


def _page(name: str, **values: Any) -> str:
    return render_template(f"admin/{name}.html", most=piles.COUNTED, reason=reason, **values)


@operators_only
@recently_confirmed
def to_requeue() -> str | Response:
    """Ask whether they are to be sent again, or show how far that is."""
    if request.args:
        return _page("requeue", at_once=AT_ONCE, **_asked_for())
    under_way = session().get(_UNDER_WAY)
    if under_way is None:
        return redirect(url_for("dead_letters.listed"), 303)
    return _page("requeue", at_once=AT_ONCE, **_under_way(under_way))


@operators_only
@recently_confirmed
def requeue() -> Response:
    """Send them again, so many at a time."""
    rows = _rows(request.form.getlist("row"))
    if "after" in request.form:
        return _go_on(request.form["after"])
    pile, note = _pile(request.form), asked.note(required=False)
    if bool(rows) == (pile is not None):
        raise Problem("invalid_request", "name dead letters, or a pile of them")
    if pile is None:
        return _some(rows, note)
    with parts().database.read() as connection:
        until = parts().database.now(connection)  # what dies of it anew waits for another look
    under_way = {"pile": asdict(pile), "note": note, "until": until}
    return _next({**under_way, "after": _text(BEGIN), "done": 0, "left": 0})


def _asked_for() -> dict[str, Any]:
    """Return what is to be sent again, for a person to confirm."""
    if set(request.args) - {*_NAMES, "row"}:
        raise Problem("invalid_request", "the query has an unknown field")
    rows, pile = _rows(request.args.getlist("row")), _pile(request.args)
    if bool(rows) == (pile is not None):
        raise Problem("invalid_request", "name dead letters, or a pile of them")
    with parts().database.snapshot() as connection:
        if pile is None:
            found = piles.named(connection, rows, parts().database.now(connection))
            return {"rows": found, "pile": None, "under_way": None}
        count = piles.size(connection, pile)
    return {"pile": pile, "fields": _fields_of(pile), "count": count, "under_way": None}


def _under_way(under_way: dict[str, Any]) -> dict[str, Any]:
    """Return how far the pile is that is being sent again."""
    pile = Pile(**under_way["pile"])
    with parts().database.read() as connection:
        count = piles.size(connection, pile, after=_mark(under_way["after"]))
    return {"pile": pile, "count": count, "under_way": under_way}


def _some(rows: list[int], note: str) -> Response:
    """Send single dead letters again."""
    done = parts().dead_letters.requeue_all(rows, note, by=f"user:{user_name()}")
    again = [row for row, is_done in zip(rows, done, strict=True) if is_done]
    if again:
        record("requeued", f"deliveries {', '.join(map(str, again))}")
    _tell(len(again), len(rows) - len(again))
    return redirect(url_for("dead_letters.listed"), 303)


def _go_on(after: str) -> Response:
    """Go on with the pile under way; a page that was left behind does nothing."""
    under_way = session().get(_UNDER_WAY)
    if under_way is None or under_way["after"] != after:
        flash("That page was an old one: what it asked for has gone on already.", "warn")
        return redirect(url_for("dead_letters.listed"), 303)
    return _next(under_way)


def _next(under_way: dict[str, Any]) -> Response:
    """Send the next few of a pile again. How far it is stands in the session."""
    pile = Pile(**under_way["pile"])
    after, until = _mark(under_way["after"]), under_way["until"]
    with parts().database.read() as connection:
        marks = piles.marks(connection, pile, after=after, until=until, limit=AT_ONCE)
    rows, by = [row for _, row in marks], f"user:{user_name()}"
    done = sum(parts().dead_letters.requeue_all(rows, under_way["note"], by=by)) if rows else 0
    if done:
        name = f"{pile.partner}/{pile.upstream} {pile.outcome or ''}".strip()
        record("requeued", f"{done} dead letters of {name}, up to delivery {rows[-1]}")
    done, left = under_way["done"] + done, under_way["left"] + len(rows) - done
    if len(rows) < AT_ONCE:
        session().pop(_UNDER_WAY, None)
        _tell(done, left)
        return redirect(url_for("dead_letters.listed"), 303)
    session()[_UNDER_WAY] = {**under_way, "after": _text(marks[-1]), "done": done, "left": left}
    return redirect(url_for("dead_letters.to_requeue"), 303)


def _mark(text: str | None) -> Mark:
    """Return the place in a pile that *text* names; without it the beginning."""
    if text is None:
        return BEGIN
    at, _, row = text.partition(".")
    return asked.number("after", at) or 0, asked.number("after", row) or 0


def _text(mark: Mark) -> str:
    return f"{mark[0]}.{mark[1]}"


def _mark_of(letter: RowMapping) -> Mark:
    return letter["updated_at"], letter["id"]


def _tell(done: int, left: int) -> None:
    if done:
        flash(f"{done:,} dead letter{'' if done == 1 else 's'} made due again.", "good")
    if left:
        flash(f"{left:,} left alone: they may not be sent again.", "warn" if done else "bad")
    if not done and not left:
        flash("There was nothing to send again.", "warn")


def _rows(given: list[str]) -> list[int]:
    if len(given) > AT_ONCE:
        raise Problem("invalid_request", "row")
    return sorted({asked.number("row", one) or 0 for one in given})


def _pile(given: Mapping[str, str]) -> Pile | None:
    """Return the pile that *given* names; None if it names none."""
    named = {name: asked.plain(name, given[name]) for name in _NAMES if given.get(name)}
    if not named:
        return None
    if not {"partner", "upstream"} <= named.keys():
        raise Problem("invalid_request", "a pile has a partner and an upstream")
    status = asked.number("status", named.get("status"))
    if status is not None and status > _HIGHEST_STATUS:
        raise Problem("invalid_request", "status")
    return Pile(
        partner=named["partner"],
        upstream=named["upstream"],
        outcome=named.get("outcome"),
        status=status,
    )


def _fields_of(pile: Any) -> dict[str, Any]:
    """Return the fields that name *pile*, or the pile of a heap."""
    of = pile if isinstance(pile, Pile) else Pile(**{name: pile[name] for name in _NAMES})
    return {name: value for name, value in asdict(of).items() if value is not None}
