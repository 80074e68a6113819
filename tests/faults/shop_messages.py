"""What the clients of a run can say, right and wrong, as a page or as the partner's server."""

import json
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from proxy.tokens import Keyring

FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """One request to be made: what it says, and the bytes that say it."""

    said: dict[str, Any]  # what the judge compares with what is recorded
    writer: str  # jti of the token, or "server"
    content: str
    headers: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """What the shop knows of its proxy."""

    partner: str
    upstreams: Sequence[str]
    origin: str
    host: str
    server_key: str
    keyring: Keyring
    urls: Sequence[str]  # of the web processes
    canary: str  # stands in every order and in all metadata, and must not stand in a log


class Words:
    """Makes tellings; numbers offers so that no two clients make up the same one."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._lock = threading.Lock()
        self._offers = 0

    def address(self, dice: random.Random) -> str:
        """Return where to say it: any of the web processes."""
        return f"{dice.choice(self._shop.urls)}/v1/choices"

    def telling(self, dice: random.Random, choice: str, *, upstream: str | None = None) -> Telling:
        """Say *choice* about an offer that nobody has heard of."""
        order = f"{self._shop.canary}-{self._number()}" if dice.random() < 0.2 else None
        said = {
            "partner": self._shop.partner,
            "upstream": upstream or self._upstream(dice),
            "offer": f"offer-{self._number()}",
            "id": _an_id(dice),
            "seq": _now_ms(),
            "choice": choice,
            "purchased": order is not None,
            "order": order,
            "body": None,
        }
        return self._told(dice, said)

    def contrary(self, dice: random.Random, before: Telling, choice: str) -> Telling:
        """Say another *choice* about the offer of *before*, mostly with a newer clock."""
        age = dice.choice([0, 0, 0, 0, 1, 5_000])
        only = {"id": _an_id(dice), "choice": choice, "seq": _now_ms() - age}
        said = before.said | only | {"purchased": False, "order": None, "body": None}
        return self._told(dice, said)

    def again(self, dice: random.Random, before: Telling) -> Telling:
        """Say the same once more: the same bytes, or with a fresh token."""
        if before.writer == "server" or dice.random() < 0.5:
            return before
        return self.from_page(before.said, jti=_a_jti(dice))

    def nonsense(self, dice: random.Random, recent: Sequence[Telling]) -> Telling:
        """Say something that must be refused."""
        plain = self.telling(dice, "declined")
        ways: list[Callable[[Telling], Telling]] = [
            lambda one: self._garbled(dice, one, {"choice": "maybe"}),
            lambda one: self._garbled(dice, one, {"seq": "0"}),
            lambda one: self._garbled(dice, one, {"id": "not-an-id"}),
            lambda one: self._garbled(dice, one, {"extra": "1"}),
            lambda one: self._garbled(dice, one, {"token": "no.token.at.all"}),
            lambda one: replace(one, headers=one.headers | {"Host": "elsewhere.example"}),
        ]
        if recent:
            old = dice.choice(recent)
            other = "accepted" if old.said["choice"] == "declined" else "declined"
            ways.append(lambda _: self._told(dice, old.said | {"choice": other}))
            third = dice.choice(recent)
            elsewhere = {name: third.said[name] for name in ("offer", "upstream")}
            if elsewhere["offer"] != old.said["offer"]:
                ways.append(lambda _: self._told(dice, old.said | elsewhere))
        return dice.choice(ways)(plain)

    def _garbled(self, dice: random.Random, one: Telling, wrong: dict[str, str]) -> Telling:
        return self.from_page(one.said, jti=_a_jti(dice), wrong=wrong)

    def _told(self, dice: random.Random, said: dict[str, Any]) -> Telling:
        if dice.random() < 0.6:
            return self.from_page(said, jti=_a_jti(dice))
        return self._from_server(dice, said)

    def from_page(
        self, said: dict[str, Any], *, jti: str, wrong: dict[str, str] | None = None
    ) -> Telling:
        """Say *said* from a page whose token has this *jti*; *wrong* fields replace right ones."""
        token = self._shop.keyring.mint(
            self._shop.partner,
            offer=said["offer"],
            origin=self._shop.origin,
            upstream=said["upstream"],
            now=int(time.time()),
            jti=jti,
        )
        fields = {"token": token, **_fields(said, "1")}
        headers = {"Content-Type": FORM, "Origin": self._shop.origin, "Host": self._shop.host}
        content = urlencode(fields | (wrong or {}))
        return Telling(said=said, writer=jti, content=content, headers=headers)

    def _from_server(self, dice: random.Random, said: dict[str, Any]) -> Telling:
        document = _fields(said, value=True) | {key: said[key] for key in ("offer", "upstream")}
        if said["choice"] == "declined" and said["upstream"] == "tickets" and dice.random() < 0.3:
            metadata = {"product": "tickets", "note": self._shop.canary}
            document["metadata"] = metadata
            body = json.dumps({"partner_metadata": metadata}, separators=(",", ":"), sort_keys=True)
            said = said | {"body": body}
        headers = {
            "Content-Type": "application/json",
            "Authorization": f"Bearer {self._shop.server_key}",
            "Host": self._shop.host,
        }
        content = json.dumps(document)
        return Telling(said=said, writer="server", content=content, headers=headers)

    def _upstream(self, dice: random.Random) -> str:
        first, *others = self._shop.upstreams
        return dice.choice(others) if others and dice.random() < 0.15 else first

    def _number(self) -> int:
        with self._lock:
            self._offers += 1
            return self._offers


def _fields(said: dict[str, Any], value: Any) -> dict[str, Any]:
    fields = {name: said[name] for name in ("choice", "id", "seq")} | {"at": said["seq"]}
    bought = {"purchased": value, "order": said["order"]} if said["purchased"] else {}
    return fields | bought


def _a_jti(dice: random.Random) -> str:
    return f"{dice.getrandbits(48):022x}"


def _an_id(dice: random.Random) -> str:
    return str(UUID(int=dice.getrandbits(128), version=4))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
