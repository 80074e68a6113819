"""POST /v1/sessions: mint a token for a partner that keeps no signing key in its shop."""

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Response, request

from proxy.claims import LONGEST_TTL, SHORTEST_TTL
from proxy.errors import Problem
from proxy.settings import PartnerSetting
from proxy.settings_upstreams import UpstreamSetting
from proxy.tokens import DEFAULT_TTL, Keyring
from proxy.uses import Use
from proxy.web import answers, calls, details, fields
from proxy.web.bodies import JSON, announced
from proxy.web.callers import server_key
from proxy.web.parts import Parts

_FIELDS = frozenset({"offer", "origin", "ttl", "upstream", "customer", "metadata"})
_MEDIA = frozenset({JSON})
_KEY = re.compile(r"[!-~]{1,255}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """The session that a partner's server asks for."""

    partner: PartnerSetting
    upstream: UpstreamSetting
    offer: str
    origin: str
    ttl: int  # seconds
    metadata: dict[str, details.Scalar]
    customer: dict[str, str]


def blueprint(parts: Parts) -> Blueprint:
    """Serve the call that opens sessions."""
    sessions = Blueprint("sessions", __name__)

    @sessions.post("/v1/sessions")
    def create() -> Response:
        environ = request.environ
        terms = parts.terms()
        body = announced(environ, _MEDIA)
        partner, given = calls.opened(parts, terms, environ, body, _FIELDS)
        wanted = _wanted(partner, given)
        issued_at, jti = _issued(parts, environ, wanted, given)
        _make_known(parts, wanted)
        return answers.as_json(_minted(terms.keyring, wanted, issued_at, jti), 201)

    return sessions


def _wanted(partner: PartnerSetting, given: Mapping[str, object]) -> _Wanted:
    origin = given.get("origin")
    if not isinstance(origin, str):
        raise fields.refused("origin")
    if origin not in partner.origins:
        raise Problem("origin_not_allowed", "field `origin`", status=422)
    upstream = details.upstream(partner, given)
    return _Wanted(
        partner=partner,
        upstream=upstream,
        offer=fields.offer(given.get("offer")),
        origin=origin,
        ttl=fields.whole("ttl", given.get("ttl", DEFAULT_TTL), SHORTEST_TTL, LONGEST_TTL),
        metadata=details.metadata(given),
        customer=details.customer(partner, upstream, given),
    )


def _issued(
    parts: Parts, environ: dict[str, Any], wanted: _Wanted, given: Mapping[str, object]
) -> tuple[int, str]:
    """Return when (ms) and under which jti the token is issued: as at the first call, if told."""
    now_ms = parts.clock()
    jti = secrets.token_urlsafe(16)
    key = environ.get("HTTP_IDEMPOTENCY_KEY")
    if key is None:
        return now_ms, jti
    if not _KEY.fullmatch(key):
        raise Problem("invalid_request", "header `Idempotency-Key`")
    digest = _digest(server_key(environ) or "", given)
    use = Use(partner=wanted.partner.name, key=key, digest=digest, jti=jti, now=now_ms)
    return parts.intake.once(use)


def _digest(key: str, given: Mapping[str, object]) -> str:
    """Return what tells *given* from other content; keyed, for it may cover personal data."""
    content = json.dumps(given, sort_keys=True).encode()
    return hmac.new(key.encode(), content, hashlib.sha256).hexdigest()


def _make_known(parts: Parts, wanted: _Wanted) -> None:
    parts.intake.know(
        partner=wanted.partner.name,
        upstream=wanted.upstream.name,
        offer=wanted.offer,
        metadata=wanted.metadata,
        customer=wanted.customer,
    )


def _minted(keyring: Keyring, wanted: _Wanted, issued_at_ms: int, jti: str) -> dict[str, str]:
    issued_at = issued_at_ms // 1000
    try:
        token = keyring.mint(
            wanted.partner.name,
            offer=wanted.offer,
            origin=wanted.origin,
            upstream=wanted.upstream.name,
            ttl=wanted.ttl,
            now=issued_at,
            jti=jti,
        )
    except KeyError:
        raise Problem("invalid_request", "this partner has no signing key") from None
    return {"token": token, "expires_at": _rfc3339(issued_at + wanted.ttl)}


def _rfc3339(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
