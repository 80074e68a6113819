"""Partners and upstreams as they are written: who can speak, what is reported, when, how fast."""

from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import urlsplit

from proxy.checks.findings import Finding, Findings, fail, or_ok, warn
from proxy.secret import PLACEHOLDER, Secret
from proxy.settings import PartnerSetting, Settings
from proxy.settings_upstreams import UpstreamSetting
from proxy.upstreams import APIS, XCOVER, XONE, is_loopback

GRANTED = 20  # requests per second that the insurer grants a shop in all
CALL_S = 1.3  # what one report takes at the insurer, as measured by others
_LIVE = {urlsplit(base).hostname for base in (XCOVER, XONE)}
_FOR_TESTS = ("staging", "sandbox", "test", "uat")

Pair = tuple[str, UpstreamSetting]  # `ACME.tickets`, and what is set there


def partner_findings(settings: Settings) -> Findings:
    """Judge what can be judged without a look at a file or a host."""
    found = settings.partners
    pairs = list(upstreams(settings))
    yield from or_ok(
        _speakers(settings), "partners", f"{_count(found, 'partner')}, and each can speak."
    )
    yield from or_ok(_origins(settings), "origins", "No origin is one of a machine of your own.")
    yield from or_ok(
        _moments(pairs), "report_moment", "Each report leaves when its API wants to hear of it."
    )
    yield from or_ok(_test_keys(pairs), "test_keys", "Test keys and live hosts do not mix.")
    yield from or_ok(_paces(pairs), "pace", f"No pace is above {GRANTED} a second.")
    yield from or_ok(
        _senders(settings, pairs), "senders", f"{settings.senders} senders keep up with the pace."
    )
    yield from or_ok(
        _durations(settings), "durations", "Records outlive the reports that they are for."
    )


def upstreams(settings: Settings) -> Iterator[Pair]:
    """Yield every upstream of every partner, with its name."""
    for name, partner in settings.partners.items():
        for upstream in partner.upstreams.values():
            yield f"{name}.{upstream.name}", upstream


def key_of(upstream: UpstreamSetting) -> Secret | None:
    """Return the api key or client id, unopened: who has the same one shares its pace."""
    if upstream.hmac is not None:
        return upstream.hmac.api_key
    return upstream.oauth.client_id if upstream.oauth else None


def _speakers(settings: Settings) -> Findings:
    if not settings.partners:
        yield fail(
            "partners",
            "There is no partner, so every call is refused.",
            "Add [partners.NAME] with its origins, keys and an upstream.",
        )
    for name, partner in settings.partners.items():
        yield from _speaker(name, partner)
        for upstream in partner.upstreams.values():
            if upstream.partner_code == PLACEHOLDER:
                yield warn(
                    "partners",
                    f"`partner_code` of {name}.{upstream.name} is still {PLACEHOLDER}.",
                    "Write the insurer's name for the shop there.",
                )


def _speaker(name: str, partner: PartnerSetting) -> Findings:
    if partner.disabled:
        yield warn(
            "partners",
            f"{name} is switched off: its pages and servers are refused with 403.",
            "Take `disabled` away to let it speak.",
        )
    if not partner.signing_keys and not partner.server_key_hashes:
        yield fail(
            "partners",
            f"{name} has neither signing keys nor server keys, so nobody can speak for it.",
            f"`optout-proxy keys new --partner {name}` makes a signing key; "
            "`server_key_hashes` lets its server call.",
        )
    elif partner.signing_keys and not partner.origins:
        yield warn(
            "partners",
            f"{name} has signing keys and no `origins`, so no page may use its tokens.",
            "List the origins of the pages that show the offer.",
        )
    elif partner.origins and not partner.signing_keys:
        yield warn(
            "partners",
            f"{name} has `origins` and no signing key, so its pages have no token to speak with.",
            f"`optout-proxy keys new --partner {name}` makes one; or take `origins` away.",
        )


def _origins(settings: Settings) -> Findings:
    if settings.public_url.startswith("http:"):
        return  # a deployment to try things with
    for name, partner in settings.partners.items():
        for origin in partner.origins:
            if origin.startswith("http:"):
                yield warn(
                    "origins",
                    f"{name} allows {origin}: any program on a customer's machine can be that.",
                    "Take it away where customers are served.",
                )


def _moments(pairs: list[Pair]) -> Findings:
    for name, upstream in pairs:
        api = APIS.get(upstream.api)
        if api and api.report_on == "purchase" and upstream.report_on == "decline":
            yield warn(
                "report_moment",
                f"{name} reports on the decline; {api.name} asks for it once the main product "
                "is bought, and a checkout that was left would be reported too.",
                'Set `report_on = "purchase"`, unless the insurer told you otherwise.',
            )


def _test_keys(pairs: list[Pair]) -> Findings:
    for name, upstream in pairs:
        host = urlsplit(upstream.base_url).hostname or ""
        if upstream.test and host in _LIVE:
            yield warn(
                "test_keys",
                f"{name} has `test = true` and the live host {host}: 2 reports a second at most.",
                "Take `test` away with the live credentials, or name the staging host.",
            )
        if not upstream.test and any(word in host for word in _FOR_TESTS):
            yield warn(
                "test_keys",
                f"{name} goes to {host} without `test = true`: a test key is granted 2 a second.",
                "Set `test = true`, which keeps to that.",
            )


def _paces(pairs: list[Pair]) -> Findings:
    for name, upstream in pairs:
        if is_loopback(urlsplit(upstream.base_url).hostname or ""):
            continue
        if upstream.rate_per_second == 0:
            yield warn(
                "pace",
                f"{name} has no pace: after an outage everything due is sent at once.",
                f"Set `rate_per_second`; the insurer grants a shop {GRANTED} in all.",
            )
        elif upstream.rate_per_second > GRANTED:
            yield warn(
                "pace",
                f"{name} may send {upstream.rate_per_second:g} a second; "
                f"the insurer grants a shop {GRANTED} in all and answers 429 beyond.",
                f"Set `rate_per_second` below {GRANTED}, unless you were granted more.",
            )


def _senders(settings: Settings, pairs: list[Pair]) -> Findings:
    lanes: dict[tuple[str, Secret | None], float] = {}
    for _, upstream in pairs:
        lane = (upstream.base_url, key_of(upstream))
        lanes[lane] = max(upstream.rate_per_second, lanes.get(lane, 0.0))
    total = sum(lanes.values())
    if total * CALL_S > settings.senders:
        yield warn(
            "senders",
            f"The pace of all credentials is {total:g} a second; {settings.senders} senders send "
            f"{settings.senders / CALL_S:.0f} at {CALL_S:g} s each.",
            f"Set `senders` to {min(256, round(total * CALL_S + 0.5))}, or start more `work` "
            "on PostgreSQL; the load of all at once decides: docs/scaling.md.",
        )


def _durations(settings: Settings) -> Findings:
    for name, partner in settings.partners.items():
        for upstream in partner.upstreams.values():
            waits = [upstream.settle]
            if upstream.report_on == "purchase":
                waits.append(upstream.hold)
            if upstream.unanswered == "declined":
                waits.append(upstream.unanswered_after)
            yield from _duration(name, upstream, partner, max(waits))


def _duration(
    name: str, upstream: UpstreamSetting, partner: PartnerSetting, wait: timedelta
) -> Iterator[Finding]:
    if wait + partner.late > partner.retention:
        yield warn(
            "durations",
            f"A report of {name}.{upstream.name} may wait {_days(wait)}, and `retention` is "
            f"{_days(partner.retention)}: no record outlives its report.",
            "Lengthen `retention`, or shorten `hold`, `unanswered_after` and `late`.",
        )


def _days(span: timedelta) -> str:
    return f"{span / timedelta(days=1):g} days"


def _count(things: dict[str, PartnerSetting], word: str) -> str:
    return f"{len(things)} {word}{'s' * (len(things) != 1)}"
