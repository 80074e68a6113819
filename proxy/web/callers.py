"""Who calls: a page with a session token, or a partner's server with its key."""

import re
from dataclasses import dataclass
from typing import Any

import structlog

from proxy.choices import Session
from proxy.errors import Problem
from proxy.settings import PartnerSetting
from proxy.settings_upstreams import UpstreamSetting
from proxy.tokens import admit
from proxy.web.terms import Terms

_BEARER = re.compile(r"[Bb]earer +(osk_[A-Za-z0-9_-]{1,200})", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page whose token and origin are proven."""

    session: Session
    partner: PartnerSetting
    upstream: UpstreamSetting


def page(terms: Terms, token: str, now_ms: int, environ: dict[str, Any]) -> Page:
    """Return the page that sent *token*; raise Problem (token_…, partner_disabled, origin_…)."""
    session = terms.keyring.verify(token, now_ms // 1000)
    partner = terms.settings.partners[session.partner]
    if partner.disabled:
        raise Problem("partner_disabled")
    # A choice at the start of the session is the one that may come latest: beyond it, none may.
    admit(session, at_ms=session.issued_at * 1000, now_ms=now_ms, late=partner.late)
    upstream = _upstream(session, partner)
    _judge_origin(session, partner, environ)
    return Page(session=session, partner=partner, upstream=upstream)


def _upstream(session: Session, partner: PartnerSetting) -> UpstreamSetting:
    try:
        return partner.upstream(session.upstream)
    except KeyError:
        raise Problem("token_claims_invalid", "claim `r`") from None


def _judge_origin(session: Session, partner: PartnerSetting, environ: dict[str, Any]) -> None:
    if environ.get("HTTP_SEC_FETCH_MODE") == "navigate":
        raise Problem("fetch_context_not_allowed")
    origin = environ.get("HTTP_ORIGIN")
    if origin is None:
        raise Problem("origin_missing")
    if origin not in partner.origins:
        raise Problem("origin_not_allowed")
    if origin != session.origin:
        raise Problem("origin_mismatch")


def server_key(environ: dict[str, Any]) -> str | None:
    """Return the server key that the request carries, if it has the shape of one."""
    match = _BEARER.fullmatch(environ.get("HTTP_AUTHORIZATION", ""))
    return match[1] if match else None


def server(terms: Terms, environ: dict[str, Any]) -> PartnerSetting:
    """Return the partner whose server calls.

    Raise Problem (server_key_invalid | browser_not_allowed | partner_disabled).
    """
    key = server_key(environ)
    partner = terms.partner_of(key) if key else None
    if partner is None:
        raise Problem("server_key_invalid")
    if marker := _browser_marker(environ):
        # A key that works and came from a browser stands in some page: it must be replaced.
        log = structlog.get_logger("proxy.web")
        log.warning("server_key.exposed", partner=partner.name, header=marker)
        raise Problem("browser_not_allowed")
    if partner.disabled:
        raise Problem("partner_disabled")
    return partner


def _browser_marker(environ: dict[str, Any]) -> str | None:
    """Name the header that only browsers send.

    `Sec-Fetch-Mode: cors` alone is none: the fetch of Node.js sends it (undici, fetch metadata).
    """
    for name, value in environ.items():
        if name in ("HTTP_ORIGIN", "HTTP_REFERER"):
            return name
        if name.startswith("HTTP_SEC_") and (name, value) != ("HTTP_SEC_FETCH_MODE", "cors"):
            return name
    return None
