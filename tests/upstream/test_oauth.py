"""Access tokens: bought once for all, renewed in time, never used when they should not be."""

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from proxy.choices import Kind, Outcome
from proxy.credentials import Credentials, credentials_for
from proxy.sender import Sender
from proxy.settings_upstreams import UpstreamSetting
from tests.upstream.builders import KEY, PASSWORD, Clock, a_delivery, an_upstream
from tests.upstream.raw_server import RawServer, reply
from tests.upstream.token_server import TokenServer, grant

THREADS = 20


class Reporter:
    """A sender with its upstream, credentials and a clock that can be pushed on."""

    def __init__(
        self, server: RawServer, *, api: str = "xone-offers", deadline: float = 10
    ) -> None:
        self.clock = Clock()
        self.upstream: UpstreamSetting = an_upstream(server.url, api)
        self.credentials: Credentials = credentials_for(self.upstream, monotonic=self.clock)
        self._sender = Sender(audience="a", deadline=deadline, monotonic=self.clock)

    def send(self) -> Outcome:
        """Send one report of some offer."""
        return self._sender.send(a_delivery(), self.upstream, self.credentials)

    def send_at_once(self, count: int = THREADS) -> list[Outcome]:
        """Send so many reports, each from a thread of its own, all at the same moment."""
        barrier = threading.Barrier(count)

        def send() -> Outcome:
            barrier.wait()
            return self.send()

        with ThreadPoolExecutor(count) as pool:
            return [each.result() for each in [pool.submit(send) for _ in range(count)]]


def test_a_token_is_bought_as_documented() -> None:
    """The call is JSON with three fields, and the token goes along as a bearer."""
    with TokenServer() as server:
        outcome = Reporter(server).send()

    [call] = server.token_calls
    [report] = server.reports
    assert outcome == Outcome(kind=Kind.DELIVERED, reason="delivered", status=204)
    assert (call.method, call.headers["content-type"]) == ("POST", "application/json")
    assert json.loads(call.body) == {
        "grant_type": "client_credentials",
        "client_id": KEY,
        "client_secret": PASSWORD,
    }
    assert report.headers["authorization"] == "Bearer token-1"
    assert not {"x-api-key", "date"} & report.headers.keys()


@pytest.mark.parametrize("api", ["xone-offers", "xone-quotes"])
@pytest.mark.parametrize("answer", [reply(200, b'{"data":{}}'), reply(200), reply(204)])
def test_both_successes_count(api: str, answer: bytes) -> None:
    """XONE documents 200; 204 says the same."""
    with RawServer(grant("token"), answer) as server:
        outcome = Reporter(server, api=api).send()

    assert outcome.kind is Kind.DELIVERED


def test_a_token_is_used_again() -> None:
    """One token serves all reports of its life."""
    with TokenServer() as server:
        reporter = Reporter(server)
        outcomes = [reporter.send() for _ in range(3)]

    assert {outcome.kind for outcome in outcomes} == {Kind.DELIVERED}
    assert len(server.token_calls) == 1


@pytest.mark.parametrize("before", [0, 1], ids=["first", "expired"])
def test_many_threads_make_one_token_call(before: int) -> None:
    """Threads that find no token, or an expired one, wait for the one that fetches."""
    with TokenServer() as server:
        reporter = Reporter(server)
        [reporter.send() for _ in range(before)]
        reporter.clock.ahead += 3601

        outcomes = reporter.send_at_once()

    assert {outcome.kind for outcome in outcomes} == {Kind.DELIVERED}
    assert len(server.token_calls) == before + 1


LIVES = {
    "an hour": (3600, 2880),
    "a minute": (60, 48),
    "ages": (10**12, 69_120),
    "endless": (float("inf"), 69_120),
    "zero": (0, 48),
    "negative": (-1, 48),
    "text": ("3600", 48),
    "null": (None, 48),
    "truth": (True, 48),
    "nothing": (float("nan"), 48),
}


@pytest.mark.parametrize(("expires_in", "renewal"), LIVES.values(), ids=LIVES)
def test_a_token_is_renewed_ahead_of_its_end(expires_in: object, renewal: float) -> None:
    """At four fifths of its life; what upstream says oddly is taken as a minute."""
    with TokenServer(lambda number: grant(f"t{number}", expires_in=expires_in)) as server:
        reporter = Reporter(server)
        reporter.send()
        reporter.clock.ahead += renewal - 1
        reporter.send()
        reporter.clock.ahead += 2
        reporter.send()

    used = [report.headers["authorization"] for report in server.reports]
    assert used == ["Bearer t1", "Bearer t1", "Bearer t2"]


def test_a_missing_life_is_a_minute() -> None:
    """Upstream need not say how long a token lives (RFC 6749, 5.1)."""
    with TokenServer(lambda _: reply(200, b'{"access_token":"token"}')) as server:
        reporter = Reporter(server)
        reporter.send()
        reporter.clock.ahead += 61
        reporter.send()

    assert len(server.token_calls) == 2


def test_reports_go_on_while_a_token_is_renewed() -> None:
    """A valid token is good enough for everybody but the one that renews it."""
    with TokenServer() as server:
        reporter = Reporter(server)
        reporter.send()
        reporter.clock.ahead += 3000
        server.open.clear()
        server.asked.clear()
        renewing = threading.Thread(target=reporter.send)
        renewing.start()
        server.asked.wait(timeout=10)

        outcome = reporter.send()
        server.open.set()
        renewing.join()

    assert outcome.kind is Kind.DELIVERED
    assert len(server.token_calls) == 2


def test_a_renewal_that_fails_is_no_failure_yet() -> None:
    """While the old token is valid, its renewal may fail, once in a while."""
    with TokenServer(lambda number: grant("token") if number == 1 else reply(500)) as server:
        reporter = Reporter(server)
        reporter.send()
        reporter.clock.ahead += 3000

        outcomes = [reporter.send() for _ in range(3)]

    assert {outcome.kind for outcome in outcomes} == {Kind.DELIVERED}
    assert len(server.token_calls) == 2


def test_an_expired_token_is_never_sent() -> None:
    """Without a new token there is no report."""
    with TokenServer(lambda number: grant("token") if number == 1 else reply(500)) as server:
        reporter = Reporter(server)
        reporter.send()
        reporter.clock.ahead += 3601

        outcome = reporter.send()

    assert (outcome.kind, outcome.reason, outcome.status) == (Kind.SETUP, "token_failed", 500)
    assert len(server.reports) == 1


def test_many_threads_share_one_failure() -> None:
    """A token endpoint that is down is not stormed; after a while it is asked again."""
    with TokenServer(lambda _: reply(503)) as server:
        reporter = Reporter(server)
        outcomes = reporter.send_at_once()
        calls = len(server.token_calls)
        reporter.clock.ahead += 6
        reporter.send()

    assert {outcome.reason for outcome in outcomes} == {"token_failed"}
    assert (calls, len(server.token_calls)) == (1, 2)


def test_a_refused_token_is_replaced_once() -> None:
    """A 401 buys a new token and sends the same report again, with the same key."""
    with TokenServer() as server:
        server.refuse = {"token-1"}
        outcome = Reporter(server).send()

    first, second = server.reports
    assert outcome.kind is Kind.DELIVERED
    assert second.headers["authorization"] == "Bearer token-2"
    assert first.headers["x-idempotency-key"] == second.headers["x-idempotency-key"]
    assert len(server.token_calls) == 2


def test_a_second_refusal_is_final() -> None:
    """With a fresh token refused, the credential is at fault."""
    with TokenServer() as server:
        server.refuse = {"token-1", "token-2"}
        outcome = Reporter(server).send()

    assert (outcome.kind, outcome.reason) == (Kind.SETUP, "unauthorized")
    assert (len(server.reports), len(server.token_calls)) == (2, 2)


def test_many_refusals_of_one_token_buy_one() -> None:
    """Only the token that was refused is forgotten, not the one bought since."""
    with TokenServer() as server:
        server.refuse = {"token-1"}
        reporter = Reporter(server)

        outcomes = reporter.send_at_once()

    assert {outcome.kind for outcome in outcomes} == {Kind.DELIVERED}
    assert len(server.token_calls) == 2


def test_a_client_that_is_refused_buys_no_token_for_every_row() -> None:
    """Every token is refused: one more is bought, and then none until some seconds have passed."""
    with TokenServer() as server:
        server.refuse = {f"token-{number}" for number in range(1, 100)}
        reporter = Reporter(server)
        reporter.send_at_once()
        calls = len(server.token_calls)
        reporter.clock.ahead += 6
        reporter.send()

    assert (calls, len(server.token_calls)) == (2, 3)


def test_a_token_that_was_accepted_is_replaced_however_soon() -> None:
    """Upstream forgets tokens twice in a moment: the client is not at fault, and nothing waits."""
    with TokenServer() as server:
        server.refuse = {"token-1"}
        reporter = Reporter(server)
        first = reporter.send()
        server.refuse = {"token-1", "token-2"}
        second = reporter.send()

    assert (first.kind, second.kind) == (Kind.DELIVERED, Kind.DELIVERED)
    assert len(server.token_calls) == 3


def test_waiting_for_a_token_ends_at_the_deadline() -> None:
    """A token call that hangs holds nobody longer than an attempt may take."""
    with TokenServer() as server:
        server.open.clear()
        outcomes = Reporter(server, deadline=0.5).send_at_once(3)
        server.open.set()

    assert {(outcome.kind, outcome.reason) for outcome in outcomes} == {
        (Kind.SETUP, "token_failed")
    }
    assert server.reports == []


def test_a_waiting_thread_has_a_deadline_of_its_own() -> None:
    """Who has less time than the thread that fetches gives up earlier."""
    with TokenServer() as server:
        server.open.clear()
        patient = Reporter(server)
        hasty = Reporter(server, deadline=0.2)
        hasty.credentials = patient.credentials
        fetching = threading.Thread(target=patient.send)
        fetching.start()
        server.asked.wait(timeout=10)

        outcome = hasty.send()
        server.open.set()
        fetching.join()

    assert (outcome.kind, outcome.reason) == (Kind.SETUP, "token_failed")
    assert len(server.reports) == 1


FAULTS: dict[str, Callable[[], bytes]] = {
    "401": lambda: reply(401, b'{"error":"invalid_client"}'),
    "204": lambda: reply(204),
    "201": lambda: grant("token").replace(b"200", b"201", 1),
    "nothing": lambda: reply(200),
    "a page": lambda: reply(200, b"<html>"),
    "half a document": lambda: reply(200, b'{"access_token":"tok'),
    "a list": lambda: reply(200, b'["access_token"]'),
    "no token": lambda: reply(200, b"{}"),
    "an empty token": lambda: grant(""),
    "a number": lambda: reply(200, b'{"access_token":5}'),
    "a line break": lambda: grant("token\r\nX-Other: 1"),
    "a blank": lambda: grant("to ken"),
    "letters beyond ASCII": lambda: grant("tökén"),
    "a giant": lambda: grant("t" * 8193),
    "a large answer": lambda: grant("token", padding="x" * 65_536),
    "another encoding": lambda: grant("token").replace(b"\r\n", b"\r\nContent-Encoding: br\r\n", 1),
    "depth": lambda: reply(200, b"[" * 60_000),
    "garbage": lambda: b"garbage\r\n\r\n",
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_what_is_no_token_is_not_used(fault: Callable[[], bytes]) -> None:
    """Whatever the token endpoint says, no report leaves without a real token."""
    with TokenServer(lambda _: fault()) as server:
        outcome = Reporter(server).send()

    assert (outcome.kind, outcome.reason) == (Kind.SETUP, "token_failed")
    assert not outcome.unknown
    assert server.reports == []


def test_a_token_call_follows_no_redirect() -> None:
    """The client secret stays with the host it is meant for."""
    with RawServer(grant("token")) as other:
        with TokenServer(lambda _: reply(307, Location=f"{other.url}/")) as server:
            outcome = Reporter(server).send()

        assert (outcome.reason, outcome.status) == ("token_failed", 307)
        assert other.connections == 0


def test_a_failed_token_call_gives_nothing_away() -> None:
    """What the token endpoint repeats of our secret is not kept."""
    echo = json.dumps({"error": "invalid_client", "message": f"no {KEY} {PASSWORD}"}).encode()
    with TokenServer(lambda _: reply(401, echo)) as server:
        outcome = Reporter(server).send()

    assert outcome.detail == "no *** *** invalid_client"


def test_an_access_token_is_not_shown() -> None:
    """What upstream repeats of a token is not kept."""
    with RawServer(grant("token"), reply(422, b'{"message":"Bearer token is bad"}')) as server:
        outcome = Reporter(server).send()

    assert outcome.detail == "*** is bad"
