"""The first page: what needs a person, how things stand now, and the funnel over time."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from flask import Blueprint, make_response, render_template
from werkzeug.wrappers import Response

from proxy import overview
from proxy.admin import asked, counts
from proxy.admin.attention import items
from proxy.admin.parts import Parts
from proxy.admin.reasons import reason
from proxy.admin.verifying import verifier
from proxy.funnel import MEANINGS, Counts
from proxy.overview import Funnel, Now, Pair, Stopped
from proxy.settings import Settings

SPANS = (7, 30, 90)  # days
_ROWS = 50  # of upstreams that are shown


class Line(NamedTuple):
    """One partner's upstream, as it stands."""

    pair: Pair
    counts: Counts  # of the days that were asked for
    is_known: bool  # to the settings
    used: int  # permits within the last minute
    permitted: float  # 0: as many as there are
    due_since: int | None
    stopped: Stopped | None


def blueprint(parts: Parts) -> Blueprint:
    """Return the page."""
    pages = Blueprint("overview", __name__)

    @pages.get("/")
    def show() -> Response:
        given = asked.fields("days", "partner", "upstream")
        days = int(asked.one_of("days", given.get("days"), list(map(str, SPANS))) or 30)
        counted = counts.latest()
        funnel = counted.value if counted else None
        settings = parts.configuration.current
        pairs = pairs_of(settings, funnel)
        now = overview.read(parts.database, pairs)
        chosen = (given.get("partner"), given.get("upstream"))
        answer = make_response(
            render_template(
                "admin/overview.html",
                now=now,
                attention=items(now, parts.configuration.alarm, verifier().run),
                counted=counted,
                failed=counts.counting().failed,
                deployment=settings.audience,
                given={"days": days, "partner": chosen[0] or "", "upstream": chosen[1] or ""},
                spans=SPANS,
                partners=sorted({partner for partner, _ in pairs}),
                upstreams=sorted({upstream for _, upstream in pairs}),
                lines=_lines(settings, funnel, now, days, _matching(pairs, *chosen)),
                rows=_ROWS,
                reason=reason,
                meanings=MEANINGS,
                **_shown(funnel, days, *chosen),
            )
        )
        if counted is None and not counts.counting().failed:
            answer.headers["Refresh"] = "2"  # for whoever has no scripts
        return answer

    return pages


def pairs_of(settings: Settings, funnel: Funnel | None) -> list[Pair]:
    """Return every partner's upstream: of the settings, and those that have offers still."""
    found = {
        (name, upstream)
        for name, partner in settings.partners.items()
        for upstream in partner.upstreams
    }
    return sorted(found | set(funnel.pairs if funnel else ()))


def _matching(pairs: Iterable[Pair], partner: str | None, upstream: str | None) -> list[Pair]:
    return [pair for pair in pairs if partner in (None, pair[0]) and upstream in (None, pair[1])]


def _shown(
    funnel: Funnel | None, days: int, partner: str | None, upstream: str | None
) -> dict[str, Any]:
    """Return the figures of the days and the pairs that were asked for."""
    if funnel is None:
        return {"series": [], "total": None, "today": None, "kept": []}
    series = funnel.over(days, partner, upstream)
    return {
        "series": series,
        "total": overview.together(line.counts for line in series),
        "today": series[-1].counts,
        "kept": [(name, day) for name, day in funnel.kept if name == (partner or name)],
    }


def _lines(
    settings: Settings, funnel: Funnel | None, now: Now, days: int, pairs: list[Pair]
) -> list[Line]:
    """Return each upstream's line: first those that something is wrong with, then the largest."""
    counts_of = funnel.by_pair(days) if funnel else {}
    stopped = {pair: one for one in now.stopped for pair in one.pairs}
    lines = []
    for pair in pairs:
        partner = settings.partners.get(pair[0])
        upstream = partner.upstreams.get(pair[1]) if partner else None
        line = Line(
            pair=pair,
            counts=counts_of.get(pair, Counts()),
            is_known=upstream is not None,
            used=now.claims.get(pair, 0),
            permitted=upstream.rate_per_second * now.claims_ms / 1000 if upstream else 0,
            due_since=now.due.get(pair),
            stopped=stopped.get(pair),
        )
        lines.append(line)
    return sorted(lines, key=_urgency)


def _urgency(line: Line) -> tuple[int, int, Pair]:
    trouble = 2 if line.stopped is None else 0 if line.stopped.is_paused else 1
    return trouble, -line.counts.shown, line.pair
