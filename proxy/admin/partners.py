"""Partners: what the settings say of each, with every secret masked, and how old its keys are."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, NamedTuple

from flask import Blueprint, abort, render_template

from proxy import overview
from proxy.admin import asked, counts
from proxy.admin.charts import near
from proxy.admin.parts import Parts
from proxy.admin.reasons import reason
from proxy.admin.words import span
from proxy.errors import ConfigurationError
from proxy.overview import Funnel, together
from proxy.secret import Secret
from proxy.settings import MOST_KEYS
from proxy.settings_upstreams import UpstreamSetting

_SIZE = 100  # partners of a page
_TAIL = 4  # characters of a secret that are shown, so that two people can compare theirs
_SECOND = 1_000


class Key(NamedTuple):
    """One secret, as far as it may be seen."""

    name: str
    shown: str
    since: int | None  # ms: when its file was last written
    file: str | None = None


def blueprint(parts: Parts) -> Blueprint:
    """Return the pages."""
    pages = Blueprint("partners", __name__)
    pages.add_app_template_filter(duration)

    @pages.get("/partners")
    def listed() -> str:
        after = asked.fields("after").get("after", "")
        settings, counted = parts.configuration.current, counts.latest()
        names = sorted(name for name in settings.partners if name > after)
        return render_template(
            "admin/partners.html",
            partners=[settings.partners[name] for name in names[:_SIZE]],
            today=_today(counted.value) if counted else None,
            counted=counted,
            more=names[_SIZE - 1] if len(names) > _SIZE else None,
            is_first=not after,
        )

    @pages.get("/partners/<name>")
    def shown(name: str) -> str:
        asked.fields()
        settings, counted = parts.configuration.current, counts.latest()
        partner = settings.partners.get(name) or abort(404)
        pairs = [(name, upstream) for upstream in partner.upstreams]
        return render_template(
            "admin/partner.html",
            partner=partner,
            keys=[_signing(key.kid, key.secret) for key in partner.signing_keys],
            may_have_new=len(partner.signing_keys) < MOST_KEYS,
            hashes=[_masked(text) for text in partner.server_key_hashes],
            upstreams=[(one, list(_credentials(one))) for one in partner.upstreams.values()],
            now=overview.read(parts.database, pairs),
            today=_today(counted.value).get(name) if counted else None,
            counted=counted,
            limits=settings.limits,
            reason=reason,
        )

    return pages


def duration(length: timedelta) -> str:
    """Return a span of the settings in words."""
    ms = round(length.total_seconds() * 1000)
    return near(ms) if 0 < ms < _SECOND else span(ms)


def _today(funnel: Funnel) -> dict[str, Any]:
    """Return today's counts by partner."""
    lines = funnel.recent.get(funnel.today, {})
    names = {partner for partner, _ in lines}
    return {
        name: together(counts for pair, counts in lines.items() if pair[0] == name)
        for name in names
    }


def _signing(kid: str, secret: Secret) -> Key:
    """Return a key that this process verifies tokens with, masked."""
    try:
        shown = _masked(secret.read())
    except ConfigurationError:
        shown = "can not be read"
    return Key(kid, shown, *_file(secret))


def _credentials(upstream: UpstreamSetting) -> Iterator[Key]:
    """Yield what proves us to the insurer; nothing here ever opens it."""
    setting = upstream.hmac or upstream.oauth
    for name in type(setting).model_fields if setting else ():
        secret = getattr(setting, name)
        if isinstance(secret, Secret):
            yield Key(name, "set", *_file(secret))


def _file(secret: Secret) -> tuple[int | None, str | None]:
    """Return when the secret's file was written, and its name."""
    if secret.path is None:
        return None, None
    try:
        return secret.path.stat().st_mtime_ns // 1_000_000, secret.path.name
    except OSError:
        return None, secret.path.name


def _masked(text: str) -> str:
    """Return what *text* begins with, up to where its secret part begins, and its end."""
    prefix = next(
        (one for one in ("ots_live_", "ots_test_", "sha256:") if text.startswith(one)), ""
    )
    return f"{prefix}…{text[-_TAIL:]}"
