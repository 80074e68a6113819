"""OAuth client credentials: an access token in memory, fetched by one thread for all.

Knows no report. RFC 6749 section 4.4, with the JSON body that the XONE API wants.
"""

import json
import re
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from proxy.exchange import Answer, Lines, NoAnswer, Request
from proxy.judge import explain
from proxy.upstreams import UnsafeUrl, split_base
from proxy.wire import Clock

SHORT_LIFE = 60.0  # seconds, when upstream does not say anything usable
LONG_LIFE = 24 * 3600.0
FAILURE_KEPT = 5.0  # seconds in which a failed call is not repeated, however many ask
_EARLY = 0.8  # of its life, after which a token is renewed while it is still used
_REDIRECTS, _UNAUTHORIZED = 300, 401
_TOKEN = re.compile(r"[!-~]{1,8192}")  # what a header can carry


class TokenFailed(Exception):
    """The token endpoint gave no access token; *detail* is redacted."""

    def __init__(self, detail: str, *, status: int | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class _Token:
    text: str = field(repr=False)
    renew_at: float  # of the monotonic clock
    expires_at: float


class OAuthCredentials:
    """A client id and secret, and the access token they buy; shared by threads."""

    def __init__(
        self,
        *,
        base_url: str,
        client_id: str,
        client_secret: str,
        lines: Lines | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        base = split_base(base_url)
        self._url = f"{base.scheme}://{base.netloc}{base.path}/api/oauth/token"
        self._client_id = client_id
        self._client_secret = client_secret
        self._lines = lines or Lines(clock=clock)
        self._clock = clock
        self._turn = threading.Condition()
        self._token: _Token | None = None
        self._is_fetching = False
        self._failure: TokenFailed | None = None
        self._failed_at = 0.0
        self._replaced_at = -FAILURE_KEPT
        self._is_accepted = False  # the token, by upstream

    def stamp(self, request: Request) -> None:
        """Put a valid access token onto *request*; TokenFailed if there is none in its time."""
        token = self._current(request.until)
        request.headers["Authorization"] = f"Bearer {token.text}"
        request.send_by = token.expires_at

    def heard(self, request: Request, status: int) -> bool:
        """Hear the *status* that *request* was answered; return whether another token is needed.

        After a 401 its token is forgotten. Not if it has never been accepted and replaced one that
        was refused a moment ago: then it is the client that is refused, and a new token for every
        row under way would be a storm.
        """
        carried = request.headers.get("Authorization", "").removeprefix("Bearer ")
        with self._turn:
            is_ours = self._token is not None and self._token.text == carried
            if status != _UNAUTHORIZED:
                self._is_accepted |= is_ours and status < _REDIRECTS
                return False
            if not is_ours:
                return True
            if not self._is_accepted and self._clock() < self._replaced_at + FAILURE_KEPT:
                return False
            self._token, self._is_accepted, self._replaced_at = None, False, self._clock()
        return True

    def secrets(self) -> Iterable[str]:
        """Return what must not be shown, less the token, which the request itself carries."""
        return (self._client_id, self._client_secret)

    def _current(self, until: float) -> _Token:
        with self._turn:
            while True:
                token = self._usable()
                if token is not None:
                    return token
                if not self._is_fetching:
                    self._is_fetching = True
                    break
                if not self._turn.wait(until - self._clock()):
                    raise TokenFailed("another thread is still waiting for the access token")
            old = self._valid()
        return self._renew(old, until)

    def _usable(self) -> _Token | None:
        """Return the token to use, None if one is to be had first; raise a failure just seen."""
        token, now = self._valid(), self._clock()
        if token is not None and (self._is_fetching or now < token.renew_at):
            return token
        if self._failure is None or now >= self._failed_at + FAILURE_KEPT:
            return None
        if token is None and not self._is_fetching:
            # A new one: threads must not share a traceback
            raise TokenFailed(self._failure.detail, status=self._failure.status)
        return token

    def _valid(self) -> _Token | None:
        if self._token is not None and self._clock() < self._token.expires_at:
            return self._token
        return None

    def _renew(self, old: _Token | None, until: float) -> _Token:
        """Fetch a token for all who wait; fall back on *old* while it is valid."""
        token, failure = None, None
        try:
            # With a token in hand, half of the time is kept for the report itself
            token = self._fetch(until if old is None else (self._clock() + until) / 2)
        except TokenFailed as error:
            failure = error
        finally:
            with self._turn:
                self._token = token or self._token
                self._failure, self._failed_at = failure, self._clock()
                self._is_fetching = False
                self._turn.notify_all()
        if token is not None:
            return token
        if old is not None and self._clock() < old.expires_at:
            return old
        raise failure or TokenFailed("the token call was broken off")

    def _fetch(self, until: float) -> _Token:
        body = {
            "grant_type": "client_credentials",
            "client_id": self._client_id,
            "client_secret": self._client_secret,
        }
        request = Request(method="POST", url=self._url, body=json.dumps(body).encode(), until=until)
        asked_at = self._clock()
        line = self._lines.open()  # a token call is rare; its connection is not kept
        try:
            answer = line.ask(request)
        except (NoAnswer, UnsafeUrl) as error:
            raise TokenFailed(str(error)) from error
        finally:
            line.close()
        return self._read(answer, asked_at)

    def _read(self, answer: Answer, asked_at: float) -> _Token:
        document = _document(answer) if answer.status == 200 else {}  # noqa: PLR2004 - RFC 6749 5.1
        text = document.get("access_token")
        if not isinstance(text, str) or not _TOKEN.fullmatch(text):
            said = answer.flaw or explain(answer.body, hide=self.secrets())
            raise TokenFailed(said or "no access token in the answer", status=answer.status)
        life = _life(document.get("expires_in"))
        return _Token(
            text=text,
            renew_at=asked_at + max(life * _EARLY, min(life, FAILURE_KEPT)),
            expires_at=asked_at + life,
        )


def _document(answer: Answer) -> dict[str, object]:
    try:
        document = json.loads(answer.body)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _life(expires_in: object) -> float:
    """Return the seconds that a token may be used; few when upstream says nothing usable."""
    if isinstance(expires_in, bool) or not isinstance(expires_in, (int, float)):
        return SHORT_LIFE
    return min(expires_in, LONG_LIFE) if expires_in > 0 else SHORT_LIFE
