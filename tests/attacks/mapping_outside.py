"""LOG, EXP and exports: what is written down, and what nobody may see."""

import base64
import csv
import hashlib
import json
from pathlib import Path

import requests

from tests.acceptance.deployment import PATIENCE_S, until
from tests.attacks.cases import Case, Part, refused, taken, unread
from tests.attacks.target import Target
from tests.attacks.wire import Answer
from tests.evidence import canary
from tests.faults.planted import planted
from tests.faults.register import read

_ROOT = Path(__file__).parents[2]
_FALSE_LINE = '{"level":"info","event":"delivered"}'
_RAISES = (
    "web/choices.py",
    "        g.is_server = body.media == JSON\n",
    "        raise RuntimeError(parts.deadlines.read(environ, body.length))\n",
)
_FORMULAS = ('=HYPERLINK("http://evil")', "+cmd|'/C'!A0", "-2+3", "@SUM(1+1)")


def _personal_data(target: Target) -> list[Answer]:
    """Personal data that is taken, refused, or ends in a dead letter is in no file in plain."""
    mark = "Xqjzvw"
    jane = canary.customer(mark)
    offers = [target.new_offer(), target.new_offer()]
    target.fault("status", match={"offer": offers[1]}, times=1, status=404)
    heard = taken(
        lambda t: [t.server(partner="OPEN", offer=offer, customer=jane) for offer in offers]
    )(target)
    heard += refused("customer_not_allowed", lambda t: t.server(customer=jane))(target)
    heard += refused(
        "customer_invalid", lambda t: t.server(partner="OPEN", customer={**jane, "country": mark})
    )(target)
    heard += refused(
        "invalid_request", lambda t: t.server(partner="OPEN", customer=jane, seq=None)
    )(target)
    until(lambda: read(target, "SELECT 1 FROM offers WHERE report = 'dead'"), "the dead letter")
    searched = [*canary.texts(jane), mark]
    figures = requests.get(f"{target.admin_url()}/metrics", timeout=PATIENCE_S).content
    assert canary.found(figures, searched) == set()
    insurer = target.processes["insurer"].log.name
    left = {one for one in canary.left(target.folder, searched) if one[2] != insurer}
    assert left == set()
    return heard


def _broken_view(target: Target) -> list[Answer]:
    """A handler that raises, quoting the body: the caller is told an id, the log a place."""
    folder = target.folder / "broken"
    folder.mkdir()
    code = planted(folder / "code", [_RAISES])
    broken = Target(folder, "sqlite:///optout.db", code=code)
    try:
        broken.start_web()
        broken.said()
        heard = refused("internal_error", lambda t: t.page())(broken)
        said = broken.said()
    finally:
        broken.end()
    assert heard[0].json()["request_id"] in said
    assert all(isinstance(json.loads(line), dict) for line in said.splitlines())
    assert "Traceback" not in said
    assert not [word for word in broken.spoken if word in said]
    return []  # it was not this target that answered


def _nothing(*paths: str, method: str = "GET") -> Part:
    """Return the part that there is nothing at *paths*, on either listener."""

    def part(target: Target) -> list[Answer]:
        made = [target.get(path, method) for path in paths]
        heard = refused("not_found", lambda _: made)(target)
        return heard + refused("not_found", lambda _: made, private=True)(target)

    return part


def _formulas(target: Target) -> list[Answer]:
    """An order that a spreadsheet would execute is text in the exported file."""
    target.spoken |= set(_FORMULAS)
    heard = taken(lambda t: [t.server(purchased=True, order=order) for order in _FORMULAS])(target)
    file = target.folder / "exported.csv"
    status, said = target.command("export", "--orders", "--out", str(file))
    assert status == 0, said
    with file.open(newline="") as lines:
        cells = {cell for row in csv.reader(lines) for cell in row}
    assert {f"'{order}" for order in _FORMULAS} <= cells, cells
    live = [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    assert not live, live
    return heard


def _released(_: Target, answer: Answer) -> None:
    """The bytes are those whose hash is published, kept for ever, and open to every page."""
    published = json.loads((_ROOT / "static" / "s" / "released.json").read_text("utf-8"))
    digest = base64.b64encode(hashlib.sha384(answer.body).digest()).decode()
    assert f"sha384-{digest}" in published.values(), (digest, published)
    assert answer.header("cache-control") == "public, max-age=31536000, immutable"
    assert answer.header("access-control-allow-origin") == "*"
    assert answer.header("cross-origin-resource-policy") == "cross-origin"


_SHARED_WITH_NOBODY = (
    "/.git/HEAD",
    "/.env",
    "/config",
    "/console",
    "/swagger",
    "/openapi.yaml",
    "/static/../app.py",
    "/static/..%2fapp.py",
    "/debug",
    "/server-status",
    "/actuator",
    "/optout.toml",
    "/optout.db",
)

CASES: dict[str, Case] = {
    "LOG-01": (
        taken(
            lambda t: t.page(
                headers={"User-Agent": f"x\\r\\n{_FALSE_LINE}", "Referer": f"\\n{_FALSE_LINE}"}
            )
        ),
        refused("origin_not_allowed", lambda t: t.page(headers={"Origin": _FALSE_LINE})),
        refused("not_found", lambda t: t.page(path=f"/v1/choices%0d%0a{_FALSE_LINE}")),
        refused("token_malformed", lambda t: t.page(token=f"a\r\n{_FALSE_LINE}.b.c.d")),
        unread(lambda t: t.page(headers={"User-Agent": f"x\n{_FALSE_LINE}"})),
    ),
    "LOG-02": unread(lambda t: t.page(headers={"User-Agent": "\x1b[2J\x1b]0;pwn\x07"})),
    "LOG-04": _personal_data,
    "LOG-05": _broken_view,
    "ADM-10": _formulas,
    "ADM-16": refused("not_found", lambda t: t.get("/admin/")),
    "EXP-01": _nothing(*_SHARED_WITH_NOBODY),
    "EXP-02": (
        refused("not_found", lambda t: [t.get("/metrics"), t.get("/readyz")]),
        taken(lambda t: [t.get("/metrics"), t.get("/readyz")], status=200, private=True),
    ),
    "EXP-04": _nothing(
        "/s/9.9.9/choice.js",
        "/s/latest/choice.js",
        "/s/1.0.0/..%2f..%2fapp.py",
        "/s/../proxy/app.py",
        "/s/1.0.0/choice.js?callback=evil",
        "/s/1.0.0/released.json",
    ),
    "EXP-05": taken(lambda t: t.get("/s/1.0.0/choice.js"), status=200, then=_released),
}
