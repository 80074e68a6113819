"""A small run made up by hand, right in every way, for tests that break it in one way."""

import base64
import json
import secrets
from dataclasses import asdict
from email.utils import formatdate
from typing import Any
from uuid import UUID, uuid5

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.faults.judge_run import Call, Record, Run

BEGIN_MS = 1_800_000_000_000
PARTNER, UPSTREAM, AUDIENCE = "ACME", "tickets", "sample"
_PATH = "/x/partners/{partner_code}/offers/{offer}/opt_out/"
_NAMES = UUID("00000000-0000-4000-8000-000000000000")
_STEP_MS = 100


class Sample:
    """Builds the three records side by side, step by step."""

    def __init__(self) -> None:
        self._now = BEGIN_MS
        self._signer = Ed25519PrivateKey.generate()
        self._numbers = 0
        self.calls: list[Call] = []
        self.requests: list[Record] = []
        self.facts: list[Record] = []
        self.rows: dict[str, Record] = {}

    def say(self, offer: str, choice: str, report: str, **only: Any) -> Call:
        """A page says *choice*; it is recorded, the report is then *report*, and acknowledged."""
        said = self._said(offer, choice)
        row = self._row(offer)
        sent = self._step()
        row |= {"choice": choice, "report": report, "seq": said["seq"], "message": said["id"]}
        row |= only
        fact = self._fact(row, "choice.recorded", said=choice, seq=said["seq"], message=said["id"])
        call = self._call("decline", said, sent, 202, body=self._answer(said, row, fact))
        self.calls.append(call)
        return call

    def refuse(self, offer: str, status: int, code: str, retry_after: str | None = None) -> None:
        """A client says something and is refused."""
        said = self._said(offer, "declined")
        call = self._call("bad" if status < 500 else "decline", said, self._step(), status)
        fields = asdict(call) | {"code": code, "retry_after": retry_after}
        self.calls.append(Call(**fields))

    def repeat(self, call: Call) -> None:
        """The same message once more: replayed, and acknowledged alike."""
        body = (call.body or {}) | {"replayed": True}
        self.calls.append(self._call("replay", call.said, self._step(), 202, body=body))

    def lose(self, offer: str) -> None:
        """A client hears no answer, and nothing was recorded."""
        self.calls.append(self._call("decline", self._said(offer, "declined"), self._step(), None))

    def claim(self, offer: str) -> None:
        """A worker takes the row."""
        row = self._row(offer)
        self._step()
        row |= {"report": "sending", "attempts": row["attempts"] + 1}
        self._fact(row, "delivery.claimed", attempt=row["attempts"])

    def send(self, offer: str, status: int | None, **only: Any) -> Record:
        """The insurer receives an attempt and answers it."""
        at = self._step()
        row = self._row(offer)
        key = "\n".join((AUDIENCE, PARTNER, UPSTREAM, offer, str(row["epoch"])))
        request: Record = {
            "number": len(self.requests) + 1,
            "received_at": at,
            "answered_at": at + 1,
            "method": "POST",
            "path": _PATH.format(partner_code="LLODT", offer=offer),
            "api": "xcover-offers",
            "offer": offer,
            "partner": "LLODT",
            "headers": {"date": formatdate(at / 1000, usegmt=True)},
            "body": "{}",
            "idempotency_key": str(uuid5(UUID("874222ec-3546-4aa9-b274-4a7869069003"), key)),
            "verified": True,
            "why_not": None,
            "status": status,
            "replay": False,
            "effect": status == 204,
            "fault": None,
        }
        self.requests.append(request | only)
        return self.requests[-1]

    def finish(self, offer: str, report: str, outcome: str, status: int | None = None) -> None:
        """The worker writes down how the attempt ended."""
        row = self._row(offer)
        self._step()
        row |= {"report": report, "outcome": outcome, "status": status}
        self._fact(row, "attempt.finished", outcome=outcome, status=status)

    def run(self) -> Run:
        """Return the run as its records tell it."""
        upstream = {
            "api": "xcover-offers",
            "auth": "hmac",
            "path": _PATH,
            "success": [204],
            "partner": PARTNER,
            "partner_code": "LLODT",
            "rate": 10.0,
            "report_on": "decline",
        }
        about: Record = {
            "engine": "sample",
            "audience": AUDIENCE,
            "begin_ms": BEGIN_MS,
            "end_ms": self._now,
            "lease_ms": 25_000,
            "upstreams": {UPSTREAM: upstream},
            "public_keys": {"keys": [self._public()]},
            "bounds": dict.fromkeys(("answer_ms", "date_ms", "exit_ms", "recovery_ms"), 1_000)
            | {"clock_ms": 10, "descriptors": 100},
            "dead_shown": sum(row["report"] == "dead" for row in self.rows.values()),
            "exits": {"web": 0},
            "descriptors": {"web": 20},
            "searched": ["web.log"],
            **{name: [] for name in ("faults", "leaks", "strangers", "bookings", "ended")},
        }
        bucket = {"bucket": "insurer", "paused_at": None, "reason": None}
        rows = list(self.rows.values())
        return Run(
            about=about,
            calls=self.calls,
            requests=self.requests,
            offers=rows,
            facts=self.facts,
            buckets=[bucket],
        )

    # -- parts --------------------------------------------------------------------------------

    def _step(self) -> int:
        self._now += _STEP_MS
        return self._now

    def _said(self, offer: str, choice: str) -> Record:
        self._numbers += 1
        return {
            "partner": PARTNER,
            "upstream": UPSTREAM,
            "offer": offer,
            "id": str(uuid5(_NAMES, str(self._numbers))),
            "seq": self._now + _STEP_MS,
            "choice": choice,
            "purchased": False,
            "order": None,
            "body": None,
        }

    def _call(
        self, kind: str, said: Record, sent: int, status: int | None, body: Record | None = None
    ) -> Call:
        return Call(
            who="client",
            kind=kind,
            writer="token",
            sent=sent / 1000,
            answered=None if status is None else (sent + 20) / 1000,
            sent_ms=sent,
            answered_ms=None if status is None else sent + 20,
            said=said,
            status=status,
            body=body,
        )

    def _row(self, offer: str) -> Record:
        empty: Record = {
            "id": len(self.rows) + 1,
            "partner": PARTNER,
            "upstream": UPSTREAM,
            "offer": offer,
            "purchased": False,
            "order_reference": None,
            "conflicts": "",
            "epoch": 1,
            "attempts": 0,
            "claim": None,
            "outcome": None,
            "status": None,
            "facts": 0,
        }
        return self.rows.setdefault(offer, empty)

    def _fact(self, row: Record, kind: str, **only: Any) -> Record:
        row |= {"facts": row["facts"] + 1, "digest": secrets.token_hex(8)}
        names = ("choice", "report", "epoch", "conflicts", "digest")
        silent = dict.fromkeys(("message", "said", "seq", "attempt", "outcome", "status"))
        fact = {
            "id": len(self.facts) + 1,
            "partner": PARTNER,
            "offer_id": row["id"],
            "ordinal": row["facts"],
            "kind": kind,
            "at": self._now + 5,
            "writer": "token" if "message" in only else None,
            "purchased": False,
            "sealed": True,
            **silent,
            **only,
            **{name: row[name] for name in names},
        }
        self.facts.append(fact)
        return fact

    def _answer(self, said: Record, row: Record, fact: Record) -> Record:
        claims = {name: said[name] for name in ("id", "offer", "choice", "seq", "purchased")}
        claims |= {"aud": AUDIENCE, "at": fact["at"], "kid": "sample", "partner": PARTNER}
        payload = _encoded(json.dumps(claims | {"upstream": UPSTREAM}).encode())
        return {
            **{name: row[name] for name in ("offer", "choice", "report")},
            "id": said["id"],
            "replayed": False,
            "superseded": False,
            "conflict": bool(row["conflicts"]),
            "receipt": f"{payload}.{_encoded(self._signer.sign(payload.encode()))}",
        }

    def _public(self) -> Record:
        raw = self._signer.public_key().public_bytes_raw()
        return {"kty": "OKP", "crv": "Ed25519", "kid": "sample", "x": _encoded(raw)}


def a_good_run() -> Run:
    """A run with one offer of each kind: `plain`, `lost`, `kept`, `late`, `dead`, `back`."""
    sample = Sample()
    _reported(sample)
    _changed(sample)
    sample.refuse("bad", 400, "invalid_request")
    sample.refuse("plain", 503, "storage_unavailable", retry_after="2")
    sample.lose("never")
    return sample.run()


def _reported(sample: Sample) -> None:
    first = sample.say("plain", "declined", "due")
    sample.claim("plain")
    sample.send("plain", 204)
    sample.finish("plain", "delivered", "delivered", 204)
    sample.repeat(first)
    sample.say("lost", "declined", "due")
    sample.claim("lost")
    sample.send("lost", None, fault="lost_answer", effect=True)
    sample.finish("lost", "due", "timed_out")
    sample.claim("lost")
    sample.send("lost", 409, replay=True)
    sample.finish("lost", "delivered", "repeated", 409)
    sample.say("dead", "declined", "due")
    sample.claim("dead")
    sample.send("dead", 404)
    sample.finish("dead", "dead", "offer_not_found", 404)


def _changed(sample: Sample) -> None:
    sample.say("kept", "accepted", "none")
    sample.say("late", "declined", "due")
    sample.claim("late")
    sample.send("late", 204, fault="hang")
    sample.say("late", "accepted", "sending", conflicts="acceptance")
    sample.finish("late", "delivered", "delivered", 204)
    sample.say("back", "declined", "due")
    sample.say("back", "accepted", "cancelled")
    sample.say("back", "declined", "due", epoch=2)
    sample.claim("back")
    sample.send("back", 204)
    sample.finish("back", "delivered", "delivered", 204)


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
