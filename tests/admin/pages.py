"""Every page of a dashboard, by its map of addresses: a new one needs no name here."""

from collections.abc import Iterator

from tests.admin.dashboard import Dashboard

# Not looked at to the end, but taken away: they are as long as the register.
EXPORTS = ("exports.page", "exports.report", "exports.offers", "exports.signed")
# Files, and what ends or changes a session.
_OTHERS = ("static", "access.logout", "single_sign_on.begin", "single_sign_on.finish")


def pages(dashboard: Dashboard) -> Iterator[str]:
    """Yield the address of every page, with an offer and a partner that are there."""
    values = {"row": _newest(dashboard), "name": "LAMPLIGHT"}
    for rule in dashboard.admin.url_map.iter_rules():
        if "GET" not in (rule.methods or ()) or rule.endpoint in (*EXPORTS, *_OTHERS):
            continue
        path = str(rule)
        for argument in rule.arguments:
            path = path.replace(f"<int:{argument}>", f"<{argument}>")
            path = path.replace(f"<{argument}>", str(values[argument]))
        yield f"/admin{path}"


def _newest(dashboard: Dashboard) -> int:
    (row,) = dashboard.rows("SELECT max(id) AS id FROM offers")
    return int(row["id"])
