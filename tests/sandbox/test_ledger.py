"""What came in and what it did: complete, filtered, right under threads, and without secrets."""

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from proxy.sandbox.options import SandboxOptions
from proxy.sandbox.serve import Sandbox
from tests.sandbox.caller import PATHS, Caller, calling


def test_entry_tells_everything() -> None:
    """One entry holds the request as it came and what was made of it."""
    with calling(Sandbox(clock=lambda: 1_800_000_000_123)) as caller:
        caller.opt_out("xcover-bookings", "A-1", key="k1", body='{"partner_metadata": {"a": 1}}')

        (entry,) = caller.sandbox.requests()

    headers = entry.pop("headers")
    assert entry == {
        "number": 1,
        "received_at": 1_800_000_000_123,
        "answered_at": 1_800_000_000_123,
        "method": "POST",
        "path": "/x/partners/LLODT/bookings/A-1/opt_out",
        "api": "xcover-bookings",
        "offer": "A-1",
        "partner": "LLODT",
        "body": '{"partner_metadata": {"a": 1}}',
        "idempotency_key": "k1",
        "verified": True,
        "why_not": None,
        "algorithm": "hmac-sha512",
        "signed": "date",
        "status": 204,
        "replay": False,
        "effect": True,
        "fault": None,
    }
    assert headers["authorization"] == "Signature (verified)"
    assert headers["x-idempotency-key"] == "k1"


@pytest.mark.parametrize(
    ("path", "headers", "why_not"),
    [
        ("/nowhere", {}, "the Authorization header has not the scheme Signature"),
        ("/nowhere", {"Authorization": "Bearer x"}, "the access token is unknown"),
        ("/api/oauth/token", {}, "this call has no Authorization"),
    ],
)
def test_other_calls_are_written_down(
    caller: Caller, path: str, headers: dict[str, str], why_not: str
) -> None:
    """What is no opt-out has no api and no offer."""
    caller.post(path, headers=headers)

    (entry,) = caller.sandbox.requests()
    assert (entry["api"], entry["offer"], entry["partner"]) == (None, None, None)
    assert (entry["verified"], entry["why_not"]) == (False, why_not)


def test_secrets_are_never_shown(caller: Caller) -> None:
    """Neither credentials in their place nor secrets in the wrong one reach the list."""
    options = caller.sandbox.options
    caller.opt_out("xone-offers", body=json.dumps({"customer": {"email": options.client_secret}}))
    caller.opt_out("xcover-offers", body=json.dumps({"secret": options.api_secret}))
    caller.post(f"/leak/{options.api_secret}", headers={"X-Leak": options.client_secret})
    caller.post("/leak", headers={"Authorization": options.api_secret})

    text = json.dumps(caller.sandbox.requests())
    assert options.api_secret not in text
    assert options.client_secret not in text
    assert caller.bearer not in text
    assert "signature=" not in text


def test_filters(caller: Caller) -> None:
    """By offer, and by the number of the last one seen."""
    for offer in ("A", "B", "A"):
        caller.opt_out(offer=offer)

    assert [entry["number"] for entry in caller.sandbox.requests(offer="A")] == [1, 3]
    assert [entry["number"] for entry in caller.sandbox.requests(after=1)] == [2, 3]


def test_only_the_newest_are_kept() -> None:
    """The list is bounded; the effects are complete."""
    with calling(Sandbox(SandboxOptions(remember=2))) as caller:
        for offer in "ABC":
            caller.opt_out(offer=offer)

        assert [entry["offer"] for entry in caller.sandbox.requests()] == ["B", "C"]
        assert caller.sandbox.effects() == {"A": 1, "B": 1, "C": 1}


def test_request_in_hand_is_visible(caller: Caller) -> None:
    """A request that is not answered yet is in the list, with no status."""
    caller.sandbox.fault("hang", seconds=30)
    with ThreadPoolExecutor() as pool:
        pool.submit(caller.opt_out, timeout=0.3)

        assert not caller.sandbox.wait(1, timeout=0.2)
        assert caller.sandbox.requests()[0]["status"] is None
        assert caller.sandbox.effects() == {"OFFER-1": 1}


def test_wait_counts_answered_requests(caller: Caller) -> None:
    """A test need not poll."""
    with ThreadPoolExecutor() as pool:
        pool.submit(caller.opt_out, offer="A")
        pool.submit(caller.opt_out, offer="B")

        assert caller.sandbox.wait(1, offer="A")
        assert caller.sandbox.wait(2)
        assert not caller.sandbox.wait(2, offer="A", timeout=0.01)


def test_right_under_many_threads(caller: Caller) -> None:
    """Sixteen threads, each key sent four times: every request listed, every effect once."""
    sandbox = caller.sandbox

    def send(offers: range) -> Counter[int]:
        with Caller(sandbox) as one:
            return Counter(
                one.opt_out(offer=f"A{n}", key=f"k{n}").status_code for n in offers for _ in "12"
            )

    with ThreadPoolExecutor(16) as pool:
        counts = sum(pool.map(send, [range(n % 8, 200, 8) for n in range(16)]), Counter[int]())

    assert set(counts) <= {204, 409, 423}
    assert counts[204] == 200
    assert sandbox.effects() == {f"A{n}": 1 for n in range(200)}
    assert [entry["number"] for entry in sandbox.requests()] == list(range(1, 801))


def test_reset_forgets_all_but_tokens(caller: Caller) -> None:
    """A new test finds an insurer that knows nothing, with the access token still good."""
    caller.opt_out("xone-offers", key="k1")
    caller.sandbox.fault("status")

    caller.sandbox.reset()

    assert (caller.sandbox.requests(), caller.sandbox.effects()) == ([], {})
    assert caller.opt_out("xone-offers", key="k1").status_code == 200


def test_clear_faults_leaves_the_rest(caller: Caller) -> None:
    """The insurer can be made well in the middle of a test."""
    caller.sandbox.fault("status")
    assert caller.opt_out().status_code == 503

    caller.sandbox.clear_faults()

    assert caller.opt_out().status_code == 204
    assert len(caller.sandbox.requests()) == 2


@pytest.mark.parametrize("path", PATHS.values())
def test_faulty_calls_are_still_judged(caller: Caller, path: str) -> None:
    """A scripted error does not hide whether the request was right."""
    credentials = caller.credentials(path)
    caller.sandbox.fault("status")

    caller.post(path.format("A"), headers=credentials)
    caller.post(path.format("A"), headers={})

    assert [entry["verified"] for entry in caller.sandbox.requests(offer="A")] == [True, False]
