"""The side panel's words: what is true of one offer now, in a sentence. Knows no HTTP."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from proxy.demo.orders import Order
from proxy.demo.witnesses import Received

# How a sentence is to be read: quiet (nothing to do), moving, done, trouble
Line = tuple[str, str]

CONFLICT: Line = (
    "trouble",
    "The answer changed after the report had left. The proxy flags it, and a person decides.",
)
REFUSED: Line = (
    "trouble",
    "The insurer does not know this signature. The report waits on disk until the secret is right.",
)
REPORTS: Mapping[str, Line] = {
    "held": ("moving", "Declined, and kept safe. This insurer is told once the tickets are paid."),
    "due": ("moving", "Declined and on disk. The report leaves as soon as the insurer takes it."),
    "sending": ("moving", "Declined and on disk. The report is on its way."),
    "delivered": ("done", "Declined, and the insurer has it: verified, and counted once."),
    "dead": ("trouble", "The insurer refused the report. A person decides what happens next."),
    "cancelled": ("done", "The answer changed in time: the report was cancelled."),
    "abandoned": ("quiet", "The tickets were never paid, so there is nothing to report."),
}
PLAIN: Mapping[str, Line] = {
    "undecided": ("quiet", "The offer was shown. No answer is not a decline: nothing travels on."),
    "accepted": ("done", "Accepted. There is no decline to report, so nothing leaves the proxy."),
    "declined": ("trouble", "Declined, but after an acceptance was paid. A person decides."),
}
NOTHING: Line = ("quiet", "Nothing has travelled yet.")


def line_of(record: Mapping[str, Any] | None, received: Sequence[Received] = ()) -> Line:
    """Return how things stand, and the sentence that says so."""
    if record is None:
        return NOTHING
    if record["conflict"]:
        return CONFLICT
    if record["choice"] == "accepted":
        return PLAIN["accepted"]
    if record["report"] in {"due", "sending"} and received and not received[-1].verified:
        return REFUSED
    return REPORTS.get(record["report"]) or PLAIN[record["choice"]]


def stations_of(record: Mapping[str, Any] | None, received: Sequence[Received]) -> dict[str, str]:
    """Return how far it came: each station waits, is moving, done or in trouble."""
    answered = record is not None and record["choice"] != "undecided"
    insurer = "waiting"
    if received:
        insurer = "done" if received[-1].verified else "trouble"
    elif record is not None and record["report"] in {"due", "sending"}:
        insurer = "moving"
    return {
        "page": "done" if answered else "moving" if record else "waiting",
        "proxy": line_of(record, received)[0] if answered else "waiting",
        "insurer": insurer,
    }


def travels(
    order: Order, record: Mapping[str, Any] | None, received: Sequence[Received]
) -> dict[str, Any]:
    """Return what the side panel shows of *order*, ready for JSON."""
    tone, sentence = line_of(record, received)
    return {
        "offer": order.offer,
        "tone": tone,
        "sentence": sentence,
        "stations": stations_of(record, received),
        "record": record,
        "received": [asdict(request) for request in received],
    }
