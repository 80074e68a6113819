"""One decline per API, from a token to the insurer's verified request, as a table."""

import secrets
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urlencode

import click

from proxy.demo.config import APIS, AT_PURCHASE
from proxy.demo.witnesses import SILENT, Answer, Received, Witnesses, ask

LIMIT = 8.0  # seconds within which all requests must have reached the insurer
HOPE = 1.0  # seconds after which credentials that were refused are not waited for
BREATH = 0.02  # seconds between two looks
TOKEN_CALL = "/api/oauth/token"  # noqa: S105 -- a path
TAKEN = range(200, 300)
LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """From where the proofs are made: what a page has, and whom to ask afterwards."""

    proxy: str
    origin: str
    mint: Callable[[str, str, str], str]  # offer, origin, upstream → session token
    witnesses: Witnesses


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What the page said, and what the proxy answered."""

    api: str
    offer: str
    token: str
    answer: Answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """How far one decline came; *fault* is empty if it came all the way."""

    said: Said
    received: Received | None
    fault: str = ""


def prove(desk: Desk, *, limit: float = LIMIT) -> list[Proof]:
    """Decline one offer of each API, and return what became of each within *limit* seconds."""
    begun = time.monotonic()
    all_said = [decline(desk, api) for api in APIS]
    received = desk.witnesses.received()
    while (elapsed := time.monotonic() - begun) < limit:
        if all(_is_settled(said, received, hopeful=elapsed < HOPE) for said in all_said):
            break
        time.sleep(BREATH)
        received = desk.witnesses.received()
    return [judge(said, received) for said in all_said]


def decline(desk: Desk, api: str) -> Said:
    """Say what choice.js says when an offer of *api* is declined, and at once bought without."""
    offer = f"{_letters()}-{_letters()}-INS"
    token = desk.mint(offer, desk.origin, api)
    now = time.time_ns() // 1_000_000
    form = {"token": token, "choice": "declined", "id": uuid.uuid4(), "seq": now, "at": now}
    if api in AT_PURCHASE:
        form |= {"purchased": 1, "order": f"ORDER-{offer}"}
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Origin": desk.origin}
    try:
        answer = ask("POST", f"{desk.proxy}/v1/choices", headers=headers, body=urlencode(form))
    except SILENT:
        answer = Answer(0, None)
    return Said(api=api, offer=offer, token=token, answer=answer)


def judge(said: Said, received: Sequence[Received]) -> Proof:
    """Return how far *said* came, and why no further."""
    mine = [request for request in received if request.offer == said.offer]
    if said.answer.status != HTTPStatus.ACCEPTED:
        return Proof(said=said, received=None, fault=_refusal(said.answer))
    if not mine or mine[-1].status is None:
        why = _refused_before(said.api, received) or f"nothing arrived within {LIMIT:g} s"
        return Proof(said=said, received=None, fault=why)
    last = mine[-1]
    if last.verified and last.status in TAKEN:
        return Proof(said=said, received=last)
    why = _clause(last.why_not) or "it gave no reason"
    return Proof(said=said, received=last, fault=f"the insurer answered {last.status}: {why}")


def _letters() -> str:
    return "".join(secrets.choice(LETTERS) for _ in range(5))


def _is_settled(said: Said, received: Sequence[Received], *, hopeful: bool) -> bool:
    """Tell whether waiting longer can change nothing."""
    if said.answer.status != HTTPStatus.ACCEPTED:
        return True
    answered = {request.offer for request in received if request.status is not None}
    return said.offer in answered or (not hopeful and _refused_before(said.api, received) != "")


def _refusal(answer: Answer) -> str:
    if not answer.status:
        return "the proxy did not answer"
    code = answer.body.get("code", "") if isinstance(answer.body, dict) else ""
    return f"the proxy answered {answer.status} {code}".rstrip()


def _refused_before(api: str, received: Sequence[Received]) -> str:
    """Say how the credentials, which APIs share, were refused; nothing if they were not."""
    auth = APIS[api]
    for request in reversed(received):
        if auth == "oauth" and request.path == TOKEN_CALL and request.status != HTTPStatus.OK:
            return f"not sent: the insurer refused the client id and secret ({request.status})"
        if auth == APIS.get(request.api) and not request.verified and request.status:
            why = f"{request.status}: {_clause(request.why_not)}"
            return f"not sent: its credentials wait since {request.api} was refused ({why})"
    return ""


def _clause(sentence: str) -> str:
    return sentence.rstrip(".!")


def table(proofs: Sequence[Proof]) -> str:
    """Return *proofs* as aligned text, three lines each; coloured where a terminal takes it."""
    head = ("API", "Step", "What", "Answer")
    rows = [row for proof in proofs for row in _rows(proof)]
    answered = [head, *(row for row in rows if row[3])]  # what has no answer may reach further
    widths = [max(len(row[column]) for row in answered) for column in range(3)]
    widths[1] = max(len(row[1]) for row in rows)
    lines = ["  ".join(map(str.ljust, row, (*widths, 0))).rstrip() for row in (head, *rows)]
    return "\n".join((click.style(lines[0], bold=True), *map(_coloured, lines[1:])))


def _rows(proof: Proof) -> tuple[tuple[str, str, str, str], ...]:
    said, received = proof.said, proof.received
    short = f"{said.token[:24]}…{said.token[-6:]}"
    page = (said.api, "token", short, str(said.answer.status or "none"))
    insurer = ("", "insurer", "nothing arrived", "")
    if received is not None:
        insurer = ("", "insurer", f"{received.method} {received.path}", str(received.status))
    if received is None or proof.fault:
        return page, insurer, ("", "✗ failed", "see below", "")
    signed = f"{received.scheme}, key {received.idempotency_key}"
    return page, insurer, ("", "✓ verified", signed, "")


def _coloured(line: str) -> str:
    for mark, colour in (("✓ verified", "green"), ("✗ failed", "red")):
        line = line.replace(mark, click.style(mark, fg=colour), 1)
    return line
