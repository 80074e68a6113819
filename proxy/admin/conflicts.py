"""The page about conflicts: what waits for a person, and what that person has found out."""

from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from proxy.admin import asked
from proxy.admin.access import operators_only, record, user_name
from proxy.admin.callers import parts
from proxy.admin.parts import Parts
from proxy.admin.reasons import reason
from proxy.choices import Choice, Report
from proxy.conflicts import Resolution, listed, refusal
from proxy.errors import Problem
from proxy.register import Offer

SIZE = 20
_MOST = 1_000  # that are put in order; of more, those of the oldest offers


def blueprint(_parts: Parts) -> Blueprint:
    """Return the page."""
    pages = Blueprint("conflicts", __name__)
    pages.get("/conflicts")(waiting)
    pages.post("/conflicts/<int:row>/resolve")(resolve)
    return pages


def waiting() -> str:
    """Show what waits for a person."""
    given = asked.fields("partner", "page")
    number = asked.number("page", given.get("page")) or 1
    first = (number - 1) * SIZE
    if first >= _MOST:
        raise Problem("invalid_request", "page")
    with parts().database.snapshot() as connection:
        found = listed(connection, given.get("partner"), SIZE + 1, first=first, among=_MOST)
    return render_template(
        "admin/conflicts.html",
        rows=[(row, _ways(row)) for row in found[:SIZE]],
        partner=given.get("partner"),
        page=number,
        is_more=len(found) > SIZE and first + SIZE < _MOST,
        plain=plain,
        reason=reason,
    )


@operators_only
def resolve(row: int) -> Response:
    """Write down what a person has found out."""
    word, note = request.form.get("as", ""), asked.note(required=True)
    if word not in {str(one) for one in Resolution}:
        raise Problem("invalid_request", "as")
    by = f"user:{user_name()}"
    refused = parts().conflicts.resolve(asked.known(row), Resolution(word), note, by=by)
    if refused is None:
        record("resolved", f"delivery {row} as {word}")
        flash(f"The conflict of delivery {row} is resolved as {word}. Nothing was sent.", "good")
    else:
        flash(f"Delivery {row} was left alone. {refused}", "bad")
    if request.form.get("back") == "conflicts":
        return redirect(url_for("conflicts.waiting"), 303)
    return redirect(url_for("deliveries.shown", row=row), 303)


def plain(advice: str) -> str:
    """Return *advice*, which names an option of the command line, as this page says it."""
    return advice.replace("--as ", "resolve as ")


def _ways(row: dict[str, Any]) -> list[tuple[str, str | None]]:
    """Return each way to resolve the conflict of *row*, and why it may not be, if so."""
    offer = Offer(
        id=row["id"],
        partner=row["partner"],
        upstream=row["upstream"],
        offer=row["offer"],
        choice=Choice(row["choice"]),
        report=Report(row["report"]),
        epoch=row["epoch"],
        attempts=row["attempts"],
        conflicts=frozenset(row["conflicts"]),
    )
    return [(str(one), refusal(offer, one)) for one in Resolution]
