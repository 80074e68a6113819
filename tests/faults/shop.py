"""The clients of a run: what shops and their pages say, told again until it is acknowledged.

Eight threads, each with dice of its own: declines, repeats, changed minds, acceptances and bad
input, from pages with tokens and from the server with its key.
"""

import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import requests

from tests.faults.judge_run import ACKNOWLEDGED, Call, Record
from tests.faults.records import History
from tests.faults.shop_messages import Telling, Words

_TRIES = 60  # of one message, before a client gives it up for good
_PATIENCE_S = 30.0  # for one answer
_MIX = {"decline": 60, "replay": 10, "changed": 10, "acceptance": 10, "bad": 10}  # per cent
_RECENT = 50  # messages that a client may repeat
_TOO_MANY = 500  # server errors that may be passed on: from here on the answer is final


@dataclass(kw_only=True)
class Aim:
    """How much is to be said, and how fast; shared by all clients."""

    declines: int
    per_second: float
    acknowledged: set[str] = field(default_factory=set)  # declines, by the id of their message
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _next: float = field(default_factory=time.monotonic)

    @property
    def reached(self) -> bool:
        """True when enough declines are acknowledged."""
        return len(self.acknowledged) >= self.declines

    def acknowledge(self, message: str) -> None:
        """Count a decline that is on disk."""
        with self._lock:
            self.acknowledged.add(message)

    def wait(self) -> None:
        """Wait for one's turn; what an outage has kept back is not made up for in a burst."""
        with self._lock:
            now = time.monotonic()
            self._next = max(self._next, now - 1) + 1 / self.per_second
            pause = self._next - now
        if pause > 0:
            time.sleep(pause)


class Client:
    """One thread that talks to the proxy, and writes down all of it."""

    def __init__(
        self, name: str, dice: random.Random, words: Words, history: History, aim: Aim
    ) -> None:
        self.name = name
        self._dice = dice
        self._words = words
        self._history = history
        self._aim = aim
        self._session = requests.Session()
        self._recent: list[Telling] = []
        self.thread = threading.Thread(target=self._work, name=name, daemon=True)

    def _work(self) -> None:
        actions: dict[str, Callable[[], Iterator[Telling]]] = {
            "decline": self._decline,
            "replay": self._replay,
            "changed": self._change_mind,
            "acceptance": self._accept,
            "bad": self._err,
        }
        while not self._aim.reached:
            kind = self._dice.choices(list(_MIX), list(_MIX.values()))[0]
            for telling in actions[kind]():
                self._aim.wait()
                self.tell(telling, kind)
        self.close()

    def _decline(self) -> Iterator[Telling]:
        yield self._words.telling(self._dice, "declined")

    def _accept(self) -> Iterator[Telling]:
        yield self._words.telling(self._dice, "accepted")

    def _replay(self) -> Iterator[Telling]:
        if self._recent:
            yield self._words.again(self._dice, self._dice.choice(self._recent))

    def _change_mind(self) -> Iterator[Telling]:
        first, second = self._dice.sample(["declined", "accepted"], 2)
        told = self._words.telling(self._dice, first)
        yield told
        time.sleep(self._dice.random() * 0.1)
        yield self._words.contrary(self._dice, told, second)
        if self._dice.random() < 0.3:
            yield self._words.contrary(self._dice, told, first)

    def _err(self) -> Iterator[Telling]:
        yield self._words.nonsense(self._dice, self._recent)

    def tell(self, telling: Telling, kind: str) -> None:
        """Say it, and say it again under the same id while nobody answers or storage is away."""
        for _ in range(_TRIES):
            call = self.say(telling, kind)
            self._history.add(call)
            if call.acknowledged:
                self._remember(telling)
            if call.status is not None and call.status < _TOO_MANY:
                return
            if self._dice.random() < 0.02:
                return  # a customer who closed the page: nobody ever learns what became of it
            time.sleep(0.05 + self._dice.random() * 0.3)
            if kind != "bad":
                telling = self._words.again(self._dice, telling)

    def _remember(self, telling: Telling) -> None:
        if telling.said["choice"] == "declined":
            self._aim.acknowledge(telling.said["id"])
        self._recent = [*self._recent[-_RECENT:], telling]

    def say(self, telling: Telling, kind: str) -> Call:
        """Say it once, and return what was heard."""
        sent, sent_ms = round(time.monotonic(), 6), _now_ms()
        heard = self._post(telling)
        return Call(
            who=self.name,
            kind=kind,
            writer=telling.writer,
            sent=sent,
            answered=round(time.monotonic(), 6) if heard else None,
            sent_ms=sent_ms,
            answered_ms=_now_ms() if heard else None,
            said=telling.said,
            **heard,
        )

    def close(self) -> None:
        """Leave no connection open: a server that stops waits for those that are kept alive."""
        self._session.close()

    def _post(self, telling: Telling) -> Record:
        """Return what was answered; nothing if no whole answer came."""
        try:
            answer = self._session.post(
                self._words.address(self._dice),
                data=telling.content,
                headers=telling.headers,
                timeout=_PATIENCE_S,
            )
        except requests.RequestException:
            self._session.close()
            self._session = requests.Session()
            return {}
        body = _json(answer)
        return {
            "status": answer.status_code,
            "retry_after": answer.headers.get("Retry-After"),
            "code": body.get("code"),
            "body": body if answer.status_code == ACKNOWLEDGED else None,
        }


def _json(answer: requests.Response) -> dict[str, Any]:
    try:
        body = answer.json()
    except requests.JSONDecodeError:
        return {}
    return body if isinstance(body, dict) else {}


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
