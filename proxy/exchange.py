"""One request, one answer, within limits of time and size. Knows HTTP, not what it is about."""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPException
from http.cookiejar import DefaultCookiePolicy
from math import inf
from ssl import SSLEOFError, SSLSyscallError, SSLZeroReturnError
from urllib.parse import urlsplit

from requests import PreparedRequest, RequestException, Response, Session
from requests.cookies import RequestsCookieJar
from requests.exceptions import SSLError
from urllib3.exceptions import HTTPError

from proxy import __version__
from proxy.upstreams import UnsafeUrl
from proxy.wire import ANSWER_LIMIT, Clock, LimitedAdapter, Limits, Resolver

_NO_COOKIES = RequestsCookieJar(policy=DefaultCookiePolicy(allowed_domains=[]))
_IDLE = 60.0  # seconds after which a kept connection may have been forgotten on the way
_BODILESS = (204, 304)
# What requests, urllib3 and http.client raise for an answer that is broken in some way.
_TROUBLE = (RequestException, HTTPError, HTTPException, OSError, ValueError)


@dataclass(slots=True, kw_only=True)
class Request:
    """What is to be asked, and until when."""

    method: str
    url: str
    body: bytes = field(repr=False)
    headers: dict[str, str] = field(default_factory=dict, repr=False)  # carries what proves us
    until: float  # of the monotonic clock: the end of the whole exchange
    send_by: float = inf  # of the same clock: nothing may leave later


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    flaw: str = ""  # why the body is not all there; then *body* is empty


class NoAnswer(Exception):
    """No answer came; *sent* says whether the request may have reached the other side."""

    def __init__(self, reason: str, *, sent: bool, untrusted: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.sent = sent
        self.untrusted = untrusted  # the other side could not prove who it is


class LimitedSession(Session):
    """A session that follows nothing, keeps nothing and asks the environment nothing."""

    def __init__(self, limits: Limits) -> None:
        super().__init__()
        self.trust_env = False
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        for scheme in ("https://", "http://"):
            self.mount(scheme, LimitedAdapter(limits))

    def get_redirect_target(self, _response: Response) -> None:
        """Return None: even unfollowed, `requests` would read and unzip the whole answer."""


class Line:
    """A connection to one host, kept alive between requests; for one thread."""

    def __init__(
        self,
        *,
        resolver: Resolver | None = None,
        authorities: str | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        self._clock = clock
        self._limits = Limits(resolver=resolver or Resolver(), clock=clock)
        self._verify: str | bool = authorities or True
        self._session = LimitedSession(self._limits)
        self._used_at = clock()

    def ask(self, request: Request) -> Answer:
        """Send *request* once and return the answer; NoAnswer if none came, UnsafeUrl unsent."""
        prepared = _prepare(request)
        if self._clock() - self._used_at > _IDLE:
            self.close()
        self._limits.begin(until=request.until, send_by=request.send_by)
        try:
            return self._exchange(prepared)
        except _TROUBLE as error:
            self.close()
            raise self._no_answer(error) from error
        finally:
            self._used_at = self._clock()

    def close(self) -> None:
        """Let go of the connection; the next request makes a new one."""
        self._session.close()

    def _exchange(self, prepared: PreparedRequest) -> Answer:
        with self._session.send(
            prepared,
            stream=True,
            allow_redirects=False,
            timeout=self._limits.left(),
            verify=self._verify,
            proxies={},
        ) as response:
            body, flaw = self._read(response)
        if flaw or not _is_clean(response):
            self.close()  # what is still to come must not be read as the answer to another request
        return Answer(status=response.status_code, headers=response.headers, body=body, flaw=flaw)

    def _read(self, response: Response) -> tuple[bytes, str]:
        """Return the body, or b"" and why it was not taken."""
        encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding not in ("", "identity") and response.status_code not in _BODILESS:
            return b"", "answer_compressed"
        body = bytearray()
        try:
            while data := response.raw.read(ANSWER_LIMIT + 1 - len(body), decode_content=False):
                body += data
                if len(body) > ANSWER_LIMIT:
                    return b"", "answer_too_large"
        except _TROUBLE:
            return b"", self._limits.reason("answer_cut")
        return bytes(body), ""

    def _no_answer(self, error: Exception) -> NoAnswer:
        sent = self._limits.sent
        if isinstance(error, SSLError) and not sent and not _is_broken_off(error):
            return NoAnswer("tls_failed", sent=False, untrusted=True)
        return NoAnswer(self._limits.reason(), sent=sent)


class Lines:
    """Lines to any host, one per thread and host; shared by threads."""

    def __init__(
        self,
        *,
        resolver: Resolver | None = None,
        authorities: str | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        self._resolver = resolver or Resolver()
        self._authorities = authorities
        self._clock = clock
        self._local = threading.local()

    def ask(self, request: Request) -> Answer:
        """Send *request* once over this thread's line to its host; raises what Line.ask does."""
        lines: dict[str, Line] = self._local.__dict__
        host = urlsplit(request.url).netloc
        line = lines.get(host)
        if line is None:
            line = lines[host] = self.open()
        return line.ask(request)

    def open(self) -> Line:
        """Return a new line, for the caller to close."""
        return Line(resolver=self._resolver, authorities=self._authorities, clock=self._clock)


class _Prepared(PreparedRequest):
    def prepare_cookies(self, _cookies: object) -> None:
        """Have none: to look for them takes as long as to prepare the address."""
        self._cookies = _NO_COOKIES


def _prepare(request: Request) -> PreparedRequest:
    prepared = _Prepared()
    prepared.prepare(
        method=request.method,
        url=request.url,
        headers={
            "User-Agent": f"optout-proxy/{__version__}",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "Content-Type": "application/json",
            **request.headers,
        },
        data=request.body,
    )
    if prepared.url != request.url:
        raise UnsafeUrl("the address would be sent in another form than it was meant in")
    return prepared


def _is_clean(response: Response) -> bool:
    """Return whether nothing can follow on the connection that belongs to this answer."""
    if response.status_code < 200:  # noqa: PLR2004 - the final answer comes after this one
        return False
    announced = response.headers.get("Content-Length", "0") != "0"
    if response.status_code in _BODILESS:
        return not announced and "Transfer-Encoding" not in response.headers
    return True


# A close may reach us as an end of file, as a reset, or between two records.
_BROKEN_OFF = (SSLEOFError, SSLZeroReturnError, SSLSyscallError, ConnectionError)


def _is_broken_off(error: BaseException | None) -> bool:
    """Return whether a handshake ended by a closed connection, which proves nothing about trust."""
    while error is not None:
        if isinstance(error, _BROKEN_OFF):
            return True
        error = error.__cause__ or error.__context__
    return False
