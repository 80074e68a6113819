"""Alerts: what somebody should know of without having to look, in the log and to a webhook.

Signed as https://www.standardwebhooks.com says. Says how many and since when; never which offers,
never whose.
"""

import hmac
import json
import threading
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from urllib.parse import urlsplit
from uuid import UUID, uuid5

import structlog
from sqlalchemy import ColumnElement, Connection, func, literal, literal_column, null, select

from proxy.clocks import time_of, wall
from proxy.database import Database
from proxy.errors import ConfigurationError, StorageUnavailable
from proxy.exchange import Answer, Line, NoAnswer, Request
from proxy.schema import buckets, offers
from proxy.settings import Settings
from proxy.upstreams import UnsafeUrl

log = structlog.get_logger()

LOOK_S = 30.0
AGAIN_MS = 3_600_000  # while it stands
OVERDUE_MS = 15 * 60_000  # what is due so long is not on its way
DEADLINE_S = 5.0  # for one post
GRACE_S = 0.2  # when asked to stop
_LEAST_BYTES = 24  # of a secret, as the standard has it
_SUCCESS = range(200, 300)
_IDS = UUID("5e1c9f3e-6d0b-4a51-9d0e-0d8c6a1f7b52")

# Literal, not bound: a partial index serves a query only if its condition is in the text.
_DEAD: ColumnElement[bool] = literal_column("report = 'dead'")
_CONFLICT: ColumnElement[bool] = literal_column("conflicts <> ''")
_DUE: ColumnElement[bool] = literal_column("report = 'due'")

Key = tuple[str, str | None]  # what the alert is, and whose


@dataclass(frozen=True, slots=True)
class Standing:
    """What stands now: so many of one partner, or of all, the oldest since then."""

    alert: str  # `dead`, `conflict`, `paused` or `overdue`
    partner: str | None  # None: a credential may be several partners'
    count: int
    since: int


@dataclass(slots=True)
class _Watched:
    """One alert from when it is raised until it is told that it is over."""

    standing: Standing
    began: int  # `since` as it was first seen: it names the messages
    told: int = 0  # messages that got through
    told_at: int | None = None
    is_over: bool = False

    @property
    def state(self) -> str:
        if self.is_over:
            return "over"
        return "standing" if self.told else "raised"

    def is_owed(self, now: int) -> bool:
        """True when it is time to tell; a time ahead of ours is of a clock set back since."""
        return self.is_over or self.told_at is None or not 0 <= now - self.told_at < AGAIN_MS


class Alerts:
    """One loop that looks every half minute; any process with a worker has one."""

    def __init__(
        self, database: Database, settings: Callable[[], Settings], *, span_s: float = LOOK_S
    ) -> None:
        self._database = database
        self._settings = settings
        self._span_s = span_s
        self._watched: dict[Key, _Watched] = {}
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to look."""
        self._thread = threading.Thread(target=self._loop, name="alerts", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Look no more; a post under way is left behind."""
        self._stopping.set()
        if self._thread:
            self._thread.join(GRACE_S)

    def look(self) -> None:
        """See what stands now, and tell what is to be told. Raises StorageUnavailable."""
        with self._database.read() as connection:
            now = self._database.now(connection)
            found = {(one.alert, one.partner): one for one in standing(connection, now)}
        self._see(found)
        settings = self._settings()
        for key, one in list(self._watched.items()):
            if self._stopping.is_set():
                return
            listens = settings.alerts.webhook is not None
            if one.is_over and not (one.told and listens):
                del self._watched[key]  # there is nobody who was told that it began
            elif listens and one.is_owed(now) and post(one, settings, now) and one.is_over:
                del self._watched[key]

    def _loop(self) -> None:
        while not self._stopping.wait(self._span_s):
            try:
                self.look()
            except StorageUnavailable:
                log.warning("alerts.unread")
            except Exception:
                log.exception("alerts.crashed")  # the loop must outlive whatever one look meets

    def _see(self, found: dict[Key, Standing]) -> None:
        for key, one in found.items():
            watched = self._watched.get(key)
            if watched is None or watched.is_over:
                _say("alert.raised", one)
            if watched is None:
                self._watched[key] = _Watched(one, one.since)
            else:
                watched.standing, watched.is_over = one, False
        for key, watched in self._watched.items():
            if key not in found and not watched.is_over:
                watched.is_over = True
                watched.standing = replace(watched.standing, count=0)
                _say("alert.over", watched.standing)


def post(one: _Watched, settings: Settings, now: int) -> bool:
    """Post one message; False if it did not get through, which the log says."""
    message = _message_id(one, settings.audience)
    try:
        body = _body(one, message, now)
        headers = signed(key_of(settings), message, wall() // 1000, body)
        answer = _ask(settings.alerts.webhook or "", headers, body)
    except (NoAnswer, UnsafeUrl, ConfigurationError) as error:
        reason = error.reason if isinstance(error, NoAnswer) else type(error).__name__
        log.warning("alert.failed", alert=one.standing.alert, reason=reason)
        return False
    if answer.status not in _SUCCESS:
        log.warning("alert.failed", alert=one.standing.alert, status=answer.status)
        return False
    one.told, one.told_at = one.told + 1, now
    return True


def judge(settings: Settings) -> None:
    """Raise ConfigurationError if alerts could not be signed."""
    if settings.alerts.webhook:
        key_of(settings)


def key_of(settings: Settings) -> bytes:
    """Return the key that signs, as the secret's file holds it now. Raises ConfigurationError."""
    secret = settings.alerts.webhook_secret
    text = secret.read().removeprefix("whsec_") if secret else ""
    try:
        key = b64decode(text, validate=True)
    except ValueError:
        key = b""
    if len(key) < _LEAST_BYTES:
        raise ConfigurationError(
            "`webhook_secret` in [alerts] must be `whsec_` and the base64 of 24 bytes or more,"
            ' such as echo "whsec_$(openssl rand -base64 32)" prints.'
        )
    return key


def signed(key: bytes, message: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the headers that prove *body* to whoever shares *key*."""
    text = f"{message}.{timestamp}.".encode() + body
    return {
        "webhook-id": message,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": "v1," + b64encode(hmac.digest(key, text, "sha256")).decode(),
    }


def standing(connection: Connection, now: int) -> Iterator[Standing]:
    """Yield what somebody should know of."""
    overdue = _DUE & (offers.c.due_at < now - OVERDUE_MS)
    for alert, since, condition in (
        ("dead", offers.c.updated_at, _DEAD),
        ("conflict", offers.c.updated_at, _CONFLICT),
        ("overdue", offers.c.due_at, overdue),
    ):
        query = select(literal(alert), offers.c.partner, func.count(), func.min(since))
        rows = connection.execute(query.where(condition).group_by(offers.c.partner))
        yield from (Standing(*row) for row in rows)
    query = select(literal("paused"), null(), func.count(), func.min(buckets.c.paused_at))
    paused = Standing(*connection.execute(query.where(buckets.c.paused_at.is_not(None))).one())
    if paused.count:
        yield paused


def _say(event: str, one: Standing) -> None:
    since = time_of(one.since)
    log.warning(event, alert=one.alert, partner=one.partner, count=one.count, since=since)


def _message_id(watched: _Watched, audience: str) -> str:
    """Return the same id for the same message, from whichever process and however often."""
    one = watched.standing
    words = (audience, one.alert, one.partner or "", watched.began, watched.state, watched.told)
    return str(uuid5(_IDS, "\n".join(map(str, words))))


def _body(watched: _Watched, message: str, now: int) -> bytes:
    one = watched.standing
    told = {
        "type": "alert",
        "alert": one.alert,
        "state": watched.state,
        "partner": one.partner,
        "count": one.count,
        "since": time_of(one.since),
        "at": time_of(now),
        "id": message,
    }
    return json.dumps(told).encode()


def _ask(address: str, headers: dict[str, str], body: bytes) -> Answer:
    parts = urlsplit(address)
    url = parts._replace(netloc=parts.netloc.lower(), path=parts.path or "/").geturl()
    until = time.monotonic() + DEADLINE_S
    line = Line()  # kept until the next message, it would most likely be dead by then
    try:
        return line.ask(Request(method="POST", url=url, body=body, headers=headers, until=until))
    finally:
        line.close()
