"""Compares a page that customers get with what was released: script, policy, token, controls.

It reads what a browser would be given and runs none of it. Opens no secret: what a token says
is looked at, its signature is the proxy's affair.
"""

import base64
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from proxy import policies
from proxy.clocks import time_of
from proxy.page_controls import control_findings
from proxy.page_tokens import token_findings
from proxy.pages import Element, Page, read_page
from proxy.settings import Settings
from proxy.visits import Unread, Visit, is_visitable, origin_of, visit

_OK = 200
_HTML = ("text/html", "application/xhtml+xml")
_OURS = ("data-token", "data-purchased", "data-elements", "data-accepted", "data-declined")
_FILES = ("choice.js", "choice.min.js")
_SCRIPT_TYPES = ("", "text/javascript", "application/javascript")
_LOOPBACK = ("http://localhost", "http://127.", "http://[::1]")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with a page, and how to mend it."""

    code: str
    says: str


@dataclass(slots=True)
class Report:
    """What the check of one page found."""

    page: str
    at: int  # Unix seconds
    version: str | None = None
    policies: list[str] = field(default_factory=list)
    scripts: list[str] = field(default_factory=list)  # all of the markup, for an inventory
    findings: list[Finding] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Expected:
    """What the page is compared with."""

    settings: Settings
    released: Mapping[str, str]  # version to integrity
    now: int  # Unix seconds

    @property
    def origin(self) -> str:
        """The origin of the proxy, as a browser writes it."""
        return origin_of(self.settings.public_url)

    def address(self, version: str) -> str:
        """Return where the proxy serves *version*."""
        return f"{self.settings.public_url.rstrip('/')}/s/{version}/choice.js"

    @property
    def newest(self) -> str:
        """The newest released version."""
        return list(self.released)[-1]


def check_page(url: str, headers: Mapping[str, str], expected: Expected) -> Report:
    """Fetch the page at *url* and the script that it names; say what is wrong with them."""
    try:
        found = visit(url, {"Accept": "text/html", **headers})
    except Unread as unread:
        return Report(url, expected.now, findings=[Finding("page_unread", str(unread))])
    return judge(found, expected)


def judge(found: Visit, expected: Expected) -> Report:
    """Say what is wrong with the page that *found* holds."""
    report = Report(found.url, expected.now)
    kind = found.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if found.status != _OK or kind not in _HTML:
        said = f"{found.status} and `{kind or 'no content type'}`"
        mend = "give the address, and the cookie, with which a customer gets the page"
        report.findings = [Finding("page_unread", f"The page answered {said}: {mend}.")]
        return report
    page = read_page(found.url, found.body.decode("utf-8", "replace"))
    sent = found.headers.get("Content-Security-Policy", "")
    report.policies = [text for text in (sent, *page.policies) if text.strip()]
    report.scripts = [page.address(tag["src"]) for tag in page.named("script") if tag["src"]]
    report.findings = [Finding(*pair) for pair in _findings(page, report, expected)]
    return report


Pairs = Iterator[tuple[str, str]]


def _findings(page: Page, report: Report, expected: Expected) -> Pairs:
    tags = [tag for tag in page.named("script") if _is_ours(tag, page, expected)]
    if not tags:
        yield (
            "tag_missing",
            (
                "No script tag of the proxy is in the markup: put in what `optout-proxy snippet` "
                "prints."
            ),
        )
    if len(tags) > 1:
        yield "tag_twice", f"The script tag is there {len(tags)} times: leave one."
    for tag in tags[:1]:
        yield from _tag_findings(tag, page, report, expected)
        yield from _policy_findings(tag, page, report, expected)
        yield from token_findings(tag, page, expected.settings, expected.now)
        yield from control_findings(tag, page)
    yield from _mixed(page, report)


def _is_ours(tag: Element, page: Page, expected: Expected) -> bool:
    path = urlsplit(page.address(tag["src"])).path
    return (
        page.address(tag["src"]).startswith(f"{expected.origin}/s/")
        or path.rpartition("/")[2] in _FILES
        or (bool(tag["src"]) and any(name in tag for name in _OURS))
    )


def _tag_findings(tag: Element, page: Page, report: Report, expected: Expected) -> Pairs:
    url = page.address(tag["src"])
    own = origin_of(url) == origin_of(page.url) != expected.origin
    version = _version(tag, url, own=own, expected=expected)
    report.version = version
    if version is None:
        newest = expected.address(expected.newest)
        yield "src_unknown", f"`src` is {url}, which is no released script: write {newest}."
    else:
        yield from _integrity(tag, version, expected)
    if own and origin_of(page.address(tag["data-endpoint"])) != expected.origin:
        yield (
            "endpoint_wrong",
            f'The script lies on the page\'s own host: add `data-endpoint="{expected.origin}"`.',
        )
    if not own and tag["data-endpoint"] and tag["data-endpoint"] != expected.origin:
        yield (
            "endpoint_wrong",
            f"`data-endpoint` sends the answers to {tag['data-endpoint']}: take it away.",
        )
    if not own and ("crossorigin" not in tag or tag["crossorigin"].lower() == "use-credentials"):
        yield (
            "crossorigin_wrong",
            'Without `crossorigin="anonymous"` the browser can not check the hash: add it.',
        )
    if "async" not in tag:
        yield "async_missing", "The tag has no `async`, so the page waits for the script: add it."
    if tag["type"].lower() not in _SCRIPT_TYPES or "nomodule" in tag:
        yield (
            "type_wrong",
            "The tag's `type` or `nomodule` keeps the script from running: remove it.",
        )
    if version is not None:
        yield from _served(url, version, page, expected, own=own)


def _version(tag: Element, url: str, *, own: bool, expected: Expected) -> str | None:
    """Return the released version that the tag names: by its address, or on one's own host by hash.

    The page's own host may call the file what it likes.
    """
    if own:
        matching = (v for v, each in expected.released.items() if each == tag["integrity"].strip())
        return next(matching, expected.newest if urlsplit(url).path.endswith(_FILES) else None)
    return next((each for each in expected.released if url == expected.address(each)), None)


def _integrity(tag: Element, version: str, expected: Expected) -> Pairs:
    right = expected.released[version]
    given = tag["integrity"].split()
    if not given:
        yield "integrity_missing", f'The tag has no `integrity`: add `integrity="{right}"`.'
    elif right not in given:
        yield (
            "integrity_wrong",
            f"`integrity` is not the hash of version {version}: write `{right}`.",
        )
    elif given != [right]:
        yield (
            "integrity_wide",
            f"`integrity` names {len(given)} hashes, so other bytes may pass: leave `{right}`.",
        )


def _served(url: str, version: str, page: Page, expected: Expected, *, own: bool) -> Pairs:
    """Fetch the script as the page names it, and compare its bytes with the release."""
    if not is_visitable(url):
        return  # mixed content, which is said elsewhere
    try:
        found = visit(url, {"Origin": origin_of(page.url)})
    except Unread as unread:
        yield "script_unread", f"The script can not be had: {unread}"
        return
    if found.status != _OK:
        yield "script_unread", f"{url} answered {found.status}: look whether the proxy runs."
        return
    digest = base64.b64encode(hashlib.sha384(found.body).digest()).decode()
    if f"sha384-{digest}" != expected.released[version]:
        yield (
            "script_changed",
            (
                f"{url} serves other bytes than version {version} has (sha384-{digest}): "
                "find out who changed them before you mend it."
            ),
        )
    allowed = found.headers.get("Access-Control-Allow-Origin", "")
    if not own and allowed not in ("*", origin_of(page.url)):
        yield (
            "script_closed",
            (
                f"{url} is served without `Access-Control-Allow-Origin`: what stands before the "
                "proxy must pass that header on."
            ),
        )


def _policy_findings(tag: Element, page: Page, report: Report, expected: Expected) -> Pairs:
    found = list(policies.split(report.policies))
    if all(policies.is_open(policy) for policy in found):
        hashed = expected.released[report.version or expected.newest]
        yield (
            "policy_missing",
            (
                "No policy in force (one that only reports is none) says which scripts may run: "
                f"send `Content-Security-Policy: script-src '{hashed}'; "
                f"connect-src {expected.origin}` with what else your page needs."
            ),
        )
    seen = policies.Tag(page.address(tag["src"]), tag["integrity"], tag["nonce"])
    for number, policy in enumerate(found, 1):
        name = policies.directive(policy, "script-src")
        if not policies.runs(policy, page.url, seen):
            want = f"'{seen.integrity}'" if seen.integrity else origin_of(seen.url)
            yield (
                "policy_script",
                (
                    f"Policy {number} of {len(found)} keeps the script from running: add {want} to "
                    f"`{name or 'sandbox'}`."
                ),
            )
        name = policies.directive(policy, "connect-src")
        if not policies.connects(policy, page.url, f"{expected.origin}/v1/choices"):
            yield (
                "policy_connect",
                (
                    f"Policy {number} of {len(found)} keeps the answers from the proxy: add "
                    f"{expected.origin} to `{name}`."
                ),
            )


def _mixed(page: Page, report: Report) -> Pairs:
    """Name what a page that came over TLS takes from, or sends to, an address without it."""
    upgraded = any("upgrade-insecure-requests" in each for each in policies.split(report.policies))
    if not page.url.startswith("https:") or upgraded:
        return
    for name, url in page.loads():
        if url.startswith("http:") and not url.startswith(_LOOPBACK):
            yield "mixed_content", f"`<{name}>` uses {url} without TLS: write `https`."


def as_json(report: Report) -> dict[str, Any]:
    """Return *report* as plain data."""
    return {
        "page": report.page,
        "at": time_of(report.at * 1000),
        "ok": not report.findings,
        "version": report.version,
        "policies": report.policies,
        "scripts": report.scripts,
        "findings": [{"code": each.code, "says": each.says} for each in report.findings],
    }
