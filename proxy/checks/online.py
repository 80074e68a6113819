"""Asks insurers, the proxy's own public address and the webhook; changes nothing anywhere."""

import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime

from proxy.checks.clocks import clock_finding
from proxy.checks.findings import Finding, Findings, Verdict, fail, ok, warn
from proxy.checks.partners import key_of, upstreams
from proxy.checks.reaching import SECONDS, Reached, Unreachable, clock_of, reach
from proxy.credentials import credentials_for
from proxy.errors import ConfigurationError
from proxy.exchange import Answer, Lines, NoAnswer, Request
from proxy.oauth import TokenFailed
from proxy.receipts import Signer, load_signing_key
from proxy.settings import DEADLINE, Settings
from proxy.settings_upstreams import UpstreamSetting

_DAY = 86_400.0
_SOON = 14 * _DAY  # seconds before a certificate ends
_BAD_REQUEST, _REFUSALS, _REDIRECTS = 400, (400, 401, 403), range(300, 400)
_ASKED = ("/.well-known/choice-scripts.json", "/.well-known/choice-keys.json", "/readyz")


def online_findings(
    settings: Settings, released: Mapping[str, str], authorities: str | None = None
) -> Findings:
    """Judge what can be reached; *authorities* are whom to trust, the usual ones by default."""
    reached: dict[str, bool] = {}
    for _, upstream in upstreams(settings):
        if upstream.base_url not in reached:
            found = list(_host("upstream", upstream.base_url, authorities))
            reached[upstream.base_url] = all(each.verdict is not Verdict.FAIL for each in found)
            yield from found
    yield from _credentials(settings, reached, authorities)
    yield from _public(settings, released, authorities)
    if settings.alerts.webhook:
        yield from _webhook(settings.alerts.webhook, authorities)


def _host(check: str, url: str, authorities: str | None) -> Findings:
    try:
        found = reach(url, authorities)
    except Unreachable as error:
        yield fail(error.check if error.check != "upstream" else check, error.says, error.mend)
        return
    yield ok(check, f"{found.host} takes our connection.")
    yield from certificate_findings(found, time.time())
    if check == "upstream":
        ahead = clock_of(url, authorities)
        if ahead is None:
            yield ok("clock", f"{found.host} did not say what time it is.")
        else:
            yield clock_finding("clock", ahead, f"{found.host}'s")


def certificate_findings(found: Reached, now: float) -> Findings:
    """Judge how long the certificate that was shown will do."""
    if found.expires_at is None:
        return
    ends = datetime.fromtimestamp(found.expires_at, UTC).date()
    if found.expires_at - now < _SOON:
        yield warn(
            "certificate",
            f"The certificate of {found.host} ends on {ends}.",
            "Whoever runs it must renew it before that.",
        )
    else:
        yield ok("certificate", f"That of {found.host} is trusted and ends on {ends}.")


def _credentials(
    settings: Settings, reached: Mapping[str, bool], authorities: str | None
) -> Findings:
    seen = set()
    for name, upstream in upstreams(settings):
        identity = (upstream.base_url, key_of(upstream))
        if identity in seen or not reached[upstream.base_url]:
            continue
        seen.add(identity)
        if upstream.definition.auth == "hmac":
            yield ok(
                "credentials",
                f"{name}: a signature can only be judged by a first delivery; nothing was sent.",
            )
        else:
            yield _token(name, upstream, authorities)


def _token(name: str, upstream: UpstreamSetting, authorities: str | None) -> Finding:
    """Ask for an access token, as a delivery would; it is thrown away."""
    request = Request(
        method="POST",
        url=upstream.base_url,
        body=b"",
        until=time.monotonic() + DEADLINE.total_seconds(),
    )
    try:
        credentials_for(upstream, lines=Lines(authorities=authorities)).stamp(request)
    except ConfigurationError as error:
        return fail("credentials", f"{name}: {error}", "Mend the file that holds it.")
    except TokenFailed as error:
        if error.status in _REFUSALS:
            return fail(
                "credentials",
                f"{name}: the insurer gives no access token for client id and secret "
                f"({error.status}).",
                "Compare both files with what the insurer sent, and the host with whom it is for.",
            )
        return fail(
            "credentials",
            f"{name}: no access token came ({error.status or error.detail}).",
            "Try again; if it stays so, the insurer must look.",
        )
    return ok("credentials", f"{name}: client id and secret buy an access token.")


# -- our own public address -------------------------------------------------------------------


def _public(settings: Settings, released: Mapping[str, str], authorities: str | None) -> Findings:
    found = list(_host("public", settings.public_url, authorities))
    yield from found
    if any(each.verdict is Verdict.FAIL for each in found):
        return
    lines = Lines(authorities=authorities)
    try:
        scripts, keys, ready = (_get(lines, f"{settings.public_url}{path}") for path in _ASKED)
    except NoAnswer as error:
        yield fail(
            "public",
            f"{settings.public_url} gave no answer that can be read ({error.reason}).",
            "Look whether `serve`, and what stands before it, runs.",
        )
        return
    misled = _misled(settings, scripts)
    if misled:
        yield misled
        return
    yield from _guarded(settings, scripts)
    yield _scripts(settings, scripts, released)
    yield from _receipts(settings, keys)
    yield _private(settings, ready)


def _get(lines: Lines, url: str) -> Answer:
    until = time.monotonic() + SECONDS
    return lines.ask(Request(method="GET", url=url, body=b"", until=until))


def _misled(settings: Settings, found: Answer) -> Finding | None:
    """Return what is wrong where the answer is not of what serves."""
    if found.status in _REDIRECTS:
        return fail(
            "public",
            f"{settings.public_url} redirects to {found.headers.get('Location', 'nowhere')}.",
            "Set `public_url` to where that leads, or end the redirect: a page that sends an "
            "answer follows none.",
        )
    if found.status == _BAD_REQUEST and b"host_not_allowed" in found.body:
        return fail(
            "public",
            f"{settings.public_url} is passed on to us under another Host.",
            "What stands before the proxy must keep it: `proxy_set_header Host $host;` in nginx.",
        )
    return None


def _guarded(settings: Settings, found: Answer) -> Findings:
    is_safe = settings.public_url.startswith("https:")
    if is_safe and "Strict-Transport-Security" not in found.headers:
        yield warn(
            "public",
            f"{settings.public_url} is served without Strict-Transport-Security.",
            "Let what ends TLS add it, as deploy/nginx.conf does.",
        )


def _scripts(settings: Settings, found: Answer, released: Mapping[str, str]) -> Finding:
    try:
        listed = {each["version"]: each["integrity"] for each in _json(found)["scripts"]}
    except (KeyError, TypeError, ValueError):
        return fail(
            "scripts",
            f"{settings.public_url}{_ASKED[0]} is answered {found.status}, not as we would.",
            "Look where `public_url` leads to.",
        )
    if listed != released:
        return fail(
            "scripts",
            f"{settings.public_url} lists other scripts than this version has.",
            "Let one version run everywhere; then run `check --page` on the checkout.",
        )
    return ok("scripts", "The released scripts are served, with their hashes.")


def _receipts(settings: Settings, found: Answer) -> Findings:
    if not settings.signing_key_file.exists():
        return
    try:
        key, _ = load_signing_key(settings.signing_key_file)
        kids = [each["kid"] for each in _json(found)["keys"]]
    except (ConfigurationError, KeyError, TypeError, ValueError):
        return  # told by the checks of either
    if Signer(key, settings.audience).kid not in kids:
        yield fail(
            "receipts",
            f"What answers at {settings.public_url} signs with another key than ours.",
            "It is another deployment, or a machine that has not our `signing_key_file`.",
        )
    else:
        yield ok("receipts", "What answers there signs with our key.")


def _private(settings: Settings, found: Answer) -> Finding:
    if b'"reasons"' in found.body:
        return fail(
            "private",
            f"{settings.public_url} leads to the private listener, for all the world to see.",
            "Point what stands before the proxy to `--bind` alone, never to `--admin-bind`.",
        )
    return ok("private", "The private listener is not to be seen from there.")


def _webhook(url: str, authorities: str | None) -> Findings:
    """Reach its host and no more: a post is an alert, and the path may be a secret."""
    try:
        found = reach(url, authorities)
    except Unreachable as error:
        yield fail("webhook", error.says, error.mend)
    else:
        yield ok("webhook", f"{found.host} takes our connection; nothing was posted.")


def _json(found: Answer) -> dict[str, list[dict[str, str]]]:
    document: dict[str, list[dict[str, str]]] = json.loads(found.body)
    return document
