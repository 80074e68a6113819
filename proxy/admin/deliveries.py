"""The pages about offers and their deliveries: looked for, and one told whole."""

import json
from typing import Any

from flask import Blueprint, abort, flash, redirect, render_template, url_for
from sqlalchemy import Connection, select
from werkzeug.wrappers import Response

from proxy import store
from proxy.admin import asked
from proxy.admin.access import operators_only, recently_confirmed, record, user_name
from proxy.admin.callers import parts
from proxy.admin.conflicts import plain
from proxy.admin.parts import Parts
from proxy.admin.reasons import reason
from proxy.admin.story import attempts, stands, steps
from proxy.browse import Wanted, page, pairs
from proxy.choices import Choice, Report
from proxy.conflicts import ADVICE, MEANINGS, Resolution, refusal
from proxy.dead_letters import can_requeue
from proxy.erasure import Erased, foreseen
from proxy.errors import Problem
from proxy.register import Offer
from proxy.reporting import is_ambiguous
from proxy.schema import facts, offers

_DAY = 86_400_000
_FACTS = 500  # of one offer that are told, the newest
_FIELDS = (
    "offer",
    "order",
    "partner",
    "upstream",
    "report",
    "choice",
    "conflict",
    "late",
    "implicit",
    "from",
    "to",
)
_ID = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-")
_LONGEST_ID = 64
_TOLD = [
    column
    for column in facts.columns
    if column.name not in ("digest", "order_hash", "metadata_hash")
]

ERASED = {
    Erased.ERASED: "The personal data is erased.",
    Erased.NOTHING: "There is no personal data to erase.",
    Erased.SENDING: "A request is under way with it; try again in a minute.",
    Erased.UNANSWERED: "A request with it had no answer and may be repeated as it was. It can be"
    " erased once it is delivered, or 47 h after that request.",
    Erased.UNKNOWN: "It is not there any more.",
}


def blueprint(_parts: Parts) -> Blueprint:
    """Return the pages."""
    pages = Blueprint("deliveries", __name__)
    pages.get("/deliveries")(listed)
    pages.get("/deliveries/<int:row>")(shown)
    pages.post("/deliveries/<int:row>/requeue")(requeue)
    pages.get("/deliveries/<int:row>/erase")(to_erase)
    pages.post("/deliveries/<int:row>/erase")(erase)
    return pages


def listed() -> str:
    """Show the offers that fit."""
    given = asked.fields(*_FIELDS, "before", "after")
    wanted = _wanted(given)
    with parts().database.read() as connection:
        found = page(connection, wanted)
        having = pairs(connection)
    return render_template(
        "admin/deliveries.html",
        page=found,
        given={name: given.get(name, "") for name in _FIELDS},
        filters={name: given[name] for name in _FIELDS if name in given},
        partners=sorted({partner for partner, _ in having}),
        upstreams=sorted({upstream for _, upstream in having}),
        reports=[str(report) for report in Report],
        choices=[str(choice) for choice in Choice],
        is_first=not ({"before", "after"} & given.keys()),
        reason=reason,
    )


def shown(row: int) -> str:
    """Tell one delivery."""
    with parts().database.snapshot() as connection:
        return render_template("admin/delivery.html", **_story(connection, row))


@operators_only
def requeue(row: int) -> Response:
    """Send a dead letter again."""
    note = asked.note(required=False)
    if parts().dead_letters.requeue(asked.known(row), note, by=f"user:{user_name()}"):
        record("requeued", f"delivery {row}")
        flash(f"Delivery {row} is due again and is sent within seconds.", "good")
    else:
        flash(f"Delivery {row} was left alone: it may not be sent again now.", "bad")
    return redirect(url_for("deliveries.shown", row=row), 303)


@operators_only
@recently_confirmed
def to_erase(row: int) -> str:
    """Ask whether the personal data is to be erased."""
    with parts().database.read() as connection:
        offer = _find(connection, row)
        came = foreseen(offer, parts().database.now(connection))
    return render_template(
        "admin/erase.html", offer=offer, may=came is Erased.ERASED, why=ERASED[came]
    )


@operators_only
@recently_confirmed
def erase(row: int) -> Response:
    """Erase the personal data."""
    note = asked.note(required=False)
    (came,), is_emptied = parts().erasures.erase([asked.known(row)], note, by=f"user:{user_name()}")
    if came is Erased.ERASED:
        record("erased", f"delivery {row}")
    flash(ERASED[came], "good" if came is Erased.ERASED else "bad")
    if not is_emptied:
        flash(
            "Somebody reads the database, so its log still holds it for a while; erase again.",
            "warn",
        )
    return redirect(url_for("deliveries.shown", row=row), 303)


def _wanted(given: dict[str, str]) -> Wanted:
    until = asked.day("to", given.get("to"))
    offer = given.get("offer")
    if offer and (len(offer) > _LONGEST_ID or not _ID.issuperset(offer)):
        raise Problem("invalid_request", "offer: letters, digits and hyphens, 64 at most")
    if {"before", "after"} <= given.keys():
        raise Problem("invalid_request", "before and after exclude each other")
    return Wanted(
        offer=offer,
        order=given.get("order"),
        partner=given.get("partner"),
        upstream=given.get("upstream"),
        report=asked.one_of("report", given.get("report"), [str(one) for one in Report]),
        choice=asked.one_of("choice", given.get("choice"), [str(one) for one in Choice]),
        conflict=asked.flag("conflict", given.get("conflict")),
        late=asked.flag("late", given.get("late")),
        implicit=asked.flag("implicit", given.get("implicit")),
        since=asked.day("from", given.get("from")),
        until=None if until is None else until + _DAY,
        before=asked.number("before", given.get("before")),
        after=asked.number("after", given.get("after")),
    )


def _find(connection: Connection, row: int) -> Offer:
    found = connection.execute(store.OFFERS.where(offers.c.id == asked.known(row))).first()
    if found is None:
        abort(404)
    return store.offer_of(found)


def _story(connection: Connection, row: int) -> dict[str, Any]:
    """Return all that the page of one delivery shows."""
    offer, now = _find(connection, row), parts().database.now(connection)
    query = select(*_TOLD).where(facts.c.offer_id == row).order_by(facts.c.ordinal.desc())
    told = [dict(fact) for fact in connection.execute(query.limit(_FACTS)).mappings()][::-1]
    return {
        "offer": offer,
        "stands": stands(offer, told, now),
        "steps": steps(told)[::-1],
        "attempts": attempts(told)[::-1],
        "left_out": offer.facts - len(told),
        "metadata": json.loads(offer.metadata),
        "conflicts": [(MEANINGS[kind], plain(ADVICE[kind])) for kind in sorted(offer.conflicts)],
        "resolutions": [(str(one), refusal(offer, one)) for one in Resolution],
        "may_requeue": can_requeue(offer, now),
        "is_ambiguous": is_ambiguous(offer, now),
        "erasing": foreseen(offer, now),
        "why_not": ERASED,
        "reason": reason,
    }
