"""What one value of the settings may be, and the sentence for each that it may not be.

Knows no table and no file. A ValueError raised here reads on from the name of the setting.
"""

import re
from collections.abc import Callable, Iterable
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field

from proxy.origins import is_origin
from proxy.upstreams import UnsafeUrl, is_id, is_loopback, split_base

_DURATION = re.compile(r"\A([0-9]{1,9})(ms|s|m|h|d)\Z")
_UNITS = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}
_REDIS = ("redis", "rediss", "unix")
_POSTGRES = re.compile(  # a user may have an `@` in it, a host may not
    r"[a-z+]+://(?:[^:/]*(?::[^@]*)?@)?(?:\[[^/?]+\]|[^@/:?]*)(?::[0-9]{0,5})?(?:/[^?@]*)?(?:\?.*)?"
)
_ESCAPE = (
    "is not `engine://user:password@host:port/name`;"
    " write `@`, `/`, `:` and `#` in a password as %40, %2F, %3A and %23"
)
_SUCCESS = range(200, 300)


def duration(given: object) -> timedelta:
    """Return the span that a text such as "5s" or "730d" means; 0 needs no unit."""
    if isinstance(given, timedelta):
        return given
    if given in (0, "0") and not isinstance(given, bool):
        return timedelta()
    match = _DURATION.match(given) if isinstance(given, str) else None
    if match is None:
        raise ValueError('must be a duration such as "500ms", "5s", "30m", "24h" or "730d"')
    return int(match[1]) * _UNITS[match[2]]


def between(least: str, most: str) -> Callable[[timedelta], timedelta]:
    """Return a check that a span is within *least* and *most*, both written as durations."""

    def check(span: timedelta) -> timedelta:
        if not duration(least) <= span <= duration(most):
            raise ValueError(f'must be within "{least}" and "{most}"')
        return span

    return check


def _pattern(pattern: str, sentence: str) -> Callable[[str], str]:
    matches = re.compile(rf"\A(?:{pattern})\Z").match

    def check(text: str) -> str:
        if matches(text) is None:
            raise ValueError(sentence)
        return text

    return check


def _number(given: object) -> object:
    if isinstance(given, bool):
        raise ValueError("must be a number, not true or false")  # noqa: TRY004 -- for pydantic
    return given


def _listed(given: object) -> object:
    """Split what an environment variable can hold; one value is a list of one."""
    if isinstance(given, str):
        return tuple(part.strip() for part in given.split(",") if part.strip())
    return given


def partner_code(text: str) -> str:
    """Refuse a partner code that could move the path of an upstream address."""
    if not is_id(text):
        raise ValueError("must be 1 to 64 letters, digits and hyphens, as the insurer gave it")
    return text


def origin(text: str) -> str:
    """Refuse what no browser sends as `Origin`, and say what is wrong with it."""
    parts = _parts(text)
    if text != text.lower():
        raise ValueError(f"has `{text}`, which must be in lower case, as browsers send it")
    if parts.path or parts.query or parts.fragment or "@" in text:
        raise ValueError(f"has `{text}`, which must end after the host and port: no path, no `/`")
    if _has_default_port(parts):
        raise ValueError(f"has `{text}`; leave out the port, because browsers do")
    if not is_origin(text):
        raise ValueError(
            f"has `{text}`, which is not `https://host` or `https://host:port`"
            " (`http` is for loopback hosts only)"
        )
    return text


def address(text: str) -> str:
    """Refuse a public address that is not an origin; return it."""
    try:
        return origin(text.removesuffix("/"))
    except ValueError as error:
        raise ValueError(str(error).replace("has `", "is `", 1)) from None


def base_url(text: str) -> str:
    """Return *text* less its last slash; refuse what could send credentials elsewhere."""
    if re.search(r"[@?#]", text):
        raise ValueError("must have no user name, password, query or fragment in it")
    try:
        base = split_base(text)
    except UnsafeUrl:
        raise ValueError(
            "must be `https://host` and perhaps a plain path (`http` is for loopback hosts only)"
        ) from None
    if _has_default_port(base):
        raise ValueError("must not name the port that its scheme has anyway")
    return base.geturl()


def webhook(text: str) -> str:
    """Refuse an address that alerts could leak through; its path and query may be a secret."""
    parts = _parts(text)
    safe = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(_host(parts)))
    if not safe or not _host(parts) or "@" in parts.netloc or parts.fragment:
        raise ValueError("must be an https address, without user name or fragment")
    return text


def redis_url(text: str) -> str:
    """Refuse what is not the address of a Redis server."""
    parts = _parts(text)
    if parts.scheme not in _REDIS:
        raise ValueError("must begin with `redis://`, `rediss://` or `unix://`")
    if not _has_port_or_none(parts):
        raise ValueError(_ESCAPE)
    return text


def database(text: str) -> str:
    """Refuse an engine that the program does not know."""
    engine = text.partition("://")[0]
    if engine.startswith("postgresql") and not _POSTGRES.fullmatch(text):
        raise ValueError(_ESCAPE)  # or the driver would quote half of the password
    if engine == "postgresql":
        return text.replace("postgresql://", "postgresql+psycopg://", 1)
    if engine not in ("sqlite", "postgresql+psycopg") or "://" not in text:
        raise ValueError("must begin with `sqlite:///` or `postgresql+psycopg://`")
    return text


def beside(url: str, folder: Path) -> str:
    """Return a SQLite *url* with the absolute path of its file; any other one as it is."""
    engine, _, rest = url.partition(":///")
    if not engine.startswith("sqlite"):
        return url
    file, mark, query = rest.partition("?")
    if not file or file == ":memory:":
        raise ValueError("must name a file, such as `sqlite:///optout.db`: a 202 means on disk")
    return f"{engine}:///{folder / file}{mark}{query}"


def twin(words: Iterable[str]) -> str | None:
    """Return the first word that stands there twice."""
    seen: set[str] = set()
    for word in words:
        if word in seen:
            return word
        seen.add(word)
    return None


def network(text: str) -> str:
    """Refuse what is neither an address nor a network; return it as a network."""
    try:
        return str(ip_network(text))
    except ValueError:
        raise ValueError(f"has `{text}`, which is not a network such as 10.0.0.0/8") from None


def success(statuses: frozenset[int]) -> frozenset[int]:
    """Refuse statuses that never mean "done"."""
    if not statuses or not all(status in _SUCCESS for status in statuses):
        raise ValueError("must list one or more statuses from 200 to 299")
    return statuses


def path(text: str) -> str:
    """Refuse a path template that names no offer, or that could be read in two ways."""
    segment = r"(?:\{offer\}|\{partner_code\}|[A-Za-z0-9_~-][A-Za-z0-9._~-]*)"
    plain = re.fullmatch(rf"(?:/{segment})+/?", text)
    if plain is None or text.count("{offer}") != 1 or text.count("{partner_code}") > 1:
        raise ValueError(
            "must be plain segments such as `/partners/{partner_code}/offers/{offer}/opt_out`,"
            " with `{offer}` once"
        )
    return text


def _parts(text: str) -> SplitResult:
    try:
        return urlsplit(text)
    except ValueError:
        raise ValueError("is not an address") from None


def _has_port_or_none(parts: SplitResult) -> bool:
    try:
        return parts.port is None or parts.port > 0
    except ValueError:  # it would quote what stands there
        return False


def _host(parts: SplitResult) -> str:
    return parts.hostname or ""


def _has_default_port(parts: SplitResult) -> bool:
    return parts.netloc.endswith({"https": ":443", "http": ":80"}.get(parts.scheme, ":"))


_KID = _pattern(r"[A-Za-z0-9_-]{1,32}", "must be 1 to 32 letters, digits, `_` and `-`")
_AUDIENCE = _pattern(
    r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,127}",
    "must be one word that names this deployment, such as `optout-proxy:prod`",
)
_HASH = _pattern(
    r"sha256:[0-9a-f]{64}",
    "has one that is not `sha256:` and the 64 lower-case hex digits of a whole server key",
)
_LIMIT = _pattern(
    r"off|[1-9][0-9]{0,8}/(?:second|minute|hour|day)", 'must be "off" or such as "30/minute"'
)
_WORD = _pattern(r"[!-~]{1,128}", "must be 1 to 128 printable characters without a space")

Duration = Annotated[timedelta, BeforeValidator(duration)]
Whole = Annotated[int, BeforeValidator(_number)]
Rate = Annotated[float, BeforeValidator(_number), Field(ge=0, le=10_000, allow_inf_nan=False)]
Kid = Annotated[str, AfterValidator(_KID)]
Audience = Annotated[str, AfterValidator(_AUDIENCE)]
PartnerCode = Annotated[str, AfterValidator(partner_code)]
BaseUrl = Annotated[str, AfterValidator(base_url)]
Address = Annotated[str, AfterValidator(address)]
Webhook = Annotated[str, AfterValidator(webhook)]
RedisUrl = Annotated[str, AfterValidator(redis_url)]
DatabaseUrl = Annotated[str, AfterValidator(database)]
Limit = Annotated[str, AfterValidator(_LIMIT)]
PathTemplate = Annotated[str, AfterValidator(path)]
Origins = Annotated[tuple[Annotated[str, AfterValidator(origin)], ...], BeforeValidator(_listed)]
Hashes = Annotated[tuple[Annotated[str, AfterValidator(_HASH)], ...], BeforeValidator(_listed)]
Word = Annotated[str, AfterValidator(_WORD)]
Words = Annotated[tuple[Word, ...], BeforeValidator(_listed)]
Networks = Annotated[tuple[Annotated[str, AfterValidator(network)], ...], BeforeValidator(_listed)]
Statuses = Annotated[frozenset[Whole], BeforeValidator(_listed), AfterValidator(success)]
