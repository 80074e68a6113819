"""Idempotency keys: one effect, a 409 for the replay, for 48 hours."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from proxy.sandbox.idempotency import HOURS_48_MS
from proxy.sandbox.options import SandboxOptions
from proxy.sandbox.serve import Sandbox
from tests.sandbox.caller import PATHS, Caller, calling


@pytest.mark.parametrize("api", PATHS)
def test_replay_is_409_and_empty(caller: Caller, api: str) -> None:
    """The same key and body is a success that was had before."""
    answers = [caller.opt_out(api, key="k1") for _ in "12"]

    assert answers[0].ok
    assert (answers[1].status_code, answers[1].content) == (409, b"")
    assert caller.sandbox.effects() == {"OFFER-1": 1}
    assert [entry["replay"] for entry in caller.sandbox.requests(offer="OFFER-1")] == [False, True]


@pytest.mark.parametrize(
    ("offer", "body"), [("OFFER-1", '{"partner_metadata": {}}'), ("OFFER-2", "{}")]
)
def test_key_for_another_request_is_422(caller: Caller, offer: str, body: str) -> None:
    """A key belongs to one body at one address."""
    caller.opt_out(key="k1")

    answer = caller.opt_out(offer=offer, key="k1", body=body)

    assert answer.status_code == 422
    assert caller.sandbox.effects() == {"OFFER-1": 1}


def test_other_keys_have_effects_of_their_own(caller: Caller) -> None:
    """An offer that is opted out can be opted out again; each key, and none, counts."""
    statuses = [caller.opt_out(key=key).status_code for key in ("k1", "k2", None, None)]

    assert statuses == [204] * 4
    assert caller.sandbox.effects() == {"OFFER-1": 4}


def test_refused_request_does_not_use_its_key(caller: Caller) -> None:
    """Only what was done is remembered."""
    assert caller.opt_out(key="k1", body='{"a": 1}').status_code == 422
    assert caller.opt_out(key="k1").status_code == 204


def test_keys_live_for_48_hours() -> None:
    """After that the same request has an effect again."""
    now = [1_800_000_000_000]
    with calling(Sandbox(clock=lambda: now[0])) as caller:
        assert caller.opt_out(key="k1").status_code == 204
        now[0] += HOURS_48_MS - 1
        assert caller.opt_out(key="k1").status_code == 409
        now[0] += 1
        assert caller.opt_out(key="k1").status_code == 204


def test_simultaneous_request_is_423(caller: Caller) -> None:
    """While a key is being worked on it is locked, also for another body."""
    caller.sandbox.fault("hang", seconds=30, locked=True, times=1)
    with ThreadPoolExecutor() as pool:
        first = pool.submit(caller.opt_out, key="k1", timeout=0.5)
        while not caller.sandbox.effects():
            time.sleep(0.01)
        with Caller(caller.sandbox) as other:
            assert other.opt_out(key="k1").status_code == 423
            assert other.opt_out(key="k1", body="").status_code == 423
            assert other.opt_out(key="k2").status_code == 204
        assert isinstance(first.exception(), IOError)


def test_latency_locks_the_key() -> None:
    """An insurer that takes its time works on one of ten equal requests."""
    options = SandboxOptions(latency=timedelta(seconds=0.3))
    with calling(Sandbox(options)) as caller, ThreadPoolExecutor(10) as pool:
        statuses = [a.status_code for a in pool.map(lambda _: caller.opt_out(key="k1"), range(10))]

        assert sorted(statuses) == [204, *[423] * 9]
        assert caller.opt_out(key="k1").status_code == 409
