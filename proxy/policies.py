"""Content-Security-Policy, as far as it is about one script tag and one connection.

The rules are those of CSP level 3: https://www.w3.org/TR/CSP3/
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote, urlsplit

Policy = dict[str, list[str]]

_FALLBACKS: Final = {
    "script-src": ("script-src-elem", "script-src", "default-src"),
    "connect-src": ("connect-src", "default-src"),
}
_PORTS: Final = {"http": 80, "https": 443}
_ANY_HOST: Final = frozenset({"*", "http:", "https:", "http://*", "https://*"})
_HOST_SOURCE = re.compile(
    r"(?:(?P<scheme>[a-z][a-z0-9+.-]*)://)?(?P<host>\*|(?:\*\.)?[a-z0-9_.-]+|\[[0-9a-f:.]+\])"
    r"(?::(?P<port>\*|[0-9]+))?(?P<path>/[^?#]*)?",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Tag:
    """What a policy looks at in a script tag that stands in the markup."""

    url: str
    integrity: str
    nonce: str


def split(headers: Iterable[str]) -> Iterator[Policy]:
    """Yield the policies in *headers*: each may hold several, and all of them hold."""
    for header in headers:
        for text in header.split(","):
            policy: Policy = {}
            for directive in text.split(";"):
                name, *values = directive.split() or [""]
                if name:
                    policy.setdefault(name.lower(), values)  # of two, the first one holds
            if policy:
                yield policy


def directive(policy: Policy, name: str) -> str | None:
    """Return the name of the directive that decides about *name*; None if none does."""
    return next((each for each in _FALLBACKS[name] if each in policy), None)


def runs(policy: Policy, page: str, tag: Tag) -> bool:
    """Tell whether *policy* of the page at *page* lets the script of *tag* run."""
    if "sandbox" in policy and "allow-scripts" not in policy["sandbox"]:
        return False
    deciding = directive(policy, "script-src")
    if deciding is None:
        return True
    sources = policy[deciding]
    words = {source.lower() for source in sources}
    if tag.nonce and f"'nonce-{tag.nonce}'" in sources:
        return True
    hashes = tag.integrity.split()
    if hashes and all(f"'{each}'" in sources for each in hashes):
        return True
    if "'strict-dynamic'" in words:
        return False  # then hosts mean nothing, and no script has put the tag there
    return any(_matches(source, page, tag.url) for source in sources)


def connects(policy: Policy, page: str, url: str) -> bool:
    """Tell whether *policy* of the page at *page* lets its scripts connect to *url*."""
    deciding = directive(policy, "connect-src")
    return deciding is None or any(_matches(each, page, url) for each in policy[deciding])


def is_open(policy: Policy) -> bool:
    """Tell whether *policy* lets the scripts of any host run."""
    deciding = directive(policy, "script-src")
    if deciding is None:
        return True
    words = {source.lower() for source in policy[deciding]}
    return bool(words & _ANY_HOST) and "'strict-dynamic'" not in words


def _matches(source: str, page: str, url: str) -> bool:
    """Tell whether the source expression *source* of a policy of *page* names *url*."""
    home, target = urlsplit(page), urlsplit(url)
    if source.lower() == "'self'":
        return _same_host(home.hostname, home.port, target.hostname, target.port) and (
            _scheme_fits(home.scheme, target.scheme)
        )
    if source == "*":
        return target.scheme in _PORTS
    if re.fullmatch(r"[a-z][a-z0-9+.-]*:", source, re.IGNORECASE):
        return _scheme_fits(source[:-1].lower(), target.scheme)
    match = _HOST_SOURCE.fullmatch(source)
    if match is None:
        return False
    return (
        _scheme_fits((match["scheme"] or home.scheme).lower(), target.scheme)
        and _host_fits(match["host"].lower(), target.hostname or "")
        and _port_fits(match["port"], target.scheme, target.port)
        and _path_fits(unquote(match["path"] or ""), unquote(target.path or "/"))
    )


def _scheme_fits(named: str, scheme: str) -> bool:
    """`http` names `https` as well: a policy never forbids what is safer."""
    return scheme == named or (named == "http" and scheme == "https")


def _same_host(host: str | None, port: int | None, other: str | None, its_port: int | None) -> bool:
    usual = {None, *_PORTS.values()}
    return host == other and (port == its_port or {port, its_port} <= usual)


def _host_fits(named: str, host: str) -> bool:
    if named == "*":
        return True
    if named.startswith("*."):
        return host.endswith(named[1:])
    return named.strip("[]") == host


def _port_fits(named: str | None, scheme: str, port: int | None) -> bool:
    actual = port or _PORTS.get(scheme)
    if named in (None, "*"):
        return named == "*" or actual == _PORTS.get(scheme)
    return int(named or 0) == actual or (named == "80" and actual == _PORTS["https"])


def _path_fits(named: str, path: str) -> bool:
    if named in ("", "/"):
        return True
    return path.startswith(named) if named.endswith("/") else path == named
