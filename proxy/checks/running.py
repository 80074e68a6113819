"""A service that runs already: what its private listener says of itself."""

import json
import re

from proxy.checks.findings import Findings, fail, ok, or_ok, warn
from proxy.visits import Unread, Visit, visit

_ALARM = re.compile(rb"^proxy_settings_alarm(?:\{[^}]*\})? +1(?:\.0)?$", re.MULTILINE)
_NOT_FOUND = 404


def service_findings(host: str, port: int) -> Findings:
    """Judge what answers at the private listener; nothing needs to."""
    named = f"[{host}]" if ":" in host else host
    address = f"http://{named}:{port}"
    try:
        ready = visit(f"{address}/readyz", {})
        figures = visit(f"{address}/metrics", {})
    except Unread:
        yield ok("service", f"No service answers at {named}:{port}; --admin names another place.")
        return
    yield from or_ok(
        _reasons(ready, figures),
        "service",
        f"The one at {named}:{port} is ready, with these settings.",
    )


def _reasons(ready: Visit, figures: Visit) -> Findings:
    reasons = _read(ready)
    if reasons is None:
        yield warn(
            "service",
            f"What answers at {ready.url} is not the private listener ({ready.status}).",
            "Name the place of `--admin-bind` with --admin HOST:PORT"
            + (", or add this machine to `admin_networks`." if ready.status == _NOT_FOUND else "."),
        )
        return
    for reason in reasons:
        says, _, mend = reason.partition("; ")
        yield fail(
            "service", f"It is not ready: {says}.", mend or "Its log says since when, and why."
        )
    if _ALARM.search(figures.body):
        yield fail(
            "service",
            "It goes on with old settings: the newest are wrong for it.",
            "Its log says why (`settings.refused`); mend the file, it looks again by itself.",
        )


def _read(ready: Visit) -> list[str] | None:
    try:
        reasons = json.loads(ready.body)["reasons"]
    except (ValueError, KeyError, TypeError):
        return None
    return [str(each) for each in reasons] if isinstance(reasons, list) else None
