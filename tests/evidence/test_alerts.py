"""Alerts: when something is told, how often, to whom, and what it takes to believe it."""

import hmac
import json
import threading
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from proxy.alerts import Alerts, judge, key_of, signed
from proxy.app import Service
from proxy.cli.options import configuration_of
from proxy.conflicts import Conflicts, Resolution
from proxy.errors import ConfigurationError
from proxy.ledger import Ledger
from proxy.settings import Settings
from tests.core.conftest import DELIVERED, REFUSED, REPEATED, START, UNAUTHORISED, Register
from tests.evidence.filled import KEY
from tests.settings.home import BASE, Home, at
from tests.upstream.raw_server import RawServer, Received, Step, reply

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
HOUR = 3_600_000
THANKS = reply(204)
Watch = Callable[..., tuple[Alerts, RawServer]]


def with_webhook(home: Home, address: str, secret: str = SECRET) -> Settings:
    """Return settings that name a webhook."""
    home.secret("webhook", secret)
    alerts = f'[alerts]\nwebhook = "{address}"\nwebhook_secret_file = "secrets/webhook"\n'
    return home.load(f"{BASE}\n{alerts}")


@pytest.fixture
def watch(register: Register, tmp_path: Path) -> Iterator[Watch]:
    """Make what looks at the register, and the server behind its webhook."""
    servers: list[RawServer] = []

    def make(*script: bytes | Step) -> tuple[Alerts, RawServer]:
        server = RawServer(*script)
        servers.append(server.__enter__())
        settings = with_webhook(at(tmp_path), f"{server.url}/hook?x=1")
        return Alerts(register.database, lambda: settings), server

    yield make
    for server in servers:
        server.__exit__()


def told(server: RawServer) -> list[tuple[str, str, str | None, int]]:
    """Return what came in: which alert, whether it stands or is over, whose, and how many."""
    bodies = [json.loads(request.body) for request in server.requests]
    return [(one["alert"], one["state"], one["partner"], one["count"]) for one in bodies]


def conflict(register: Register, offer: str = "offer-1") -> int:
    """Bring about a conflict and return its row."""
    register.decline(offer)
    register.attempt(DELIVERED)
    register.accept(offer)
    return register.find(offer).id


def resolve(register: Register, row: int) -> None:
    """Do what a person does."""
    conflicts = Conflicts(register.database, Ledger(KEY))
    assert conflicts.resolve(row, Resolution.WITHDRAWN, "Asked.") is None


def test_it_is_told_once_then_hourly_then_that_it_is_over(register: Register, watch: Watch) -> None:
    """Half a minute apart nobody wants to hear it again."""
    alerts, server = watch(THANKS)
    row = conflict(register)
    for span in (0, 30_000, HOUR - 30_001, 1, 30_000):
        register.clock.pass_ms(span)
        alerts.look()
    resolve(register, row)
    for _ in range(2):
        alerts.look()

    assert told(server) == [
        ("conflict", "raised", "ACME", 1),
        ("conflict", "standing", "ACME", 1),
        ("conflict", "over", "ACME", 0),
    ]
    assert len({request.headers["webhook-id"] for request in server.requests}) == 3


def test_what_comes_back_is_told_anew(register: Register, watch: Watch) -> None:
    """Under another id: a receiver that keeps ids must not take it for a repeat."""
    alerts, server = watch(THANKS)
    for offer in ("first", "second"):
        row = conflict(register, offer)
        alerts.look()
        resolve(register, row)
        alerts.look()

    assert [state for _, state, *_ in told(server)] == ["raised", "over"] * 2
    assert len({request.headers["webhook-id"] for request in server.requests}) == 4


def dead(register: Register) -> None:
    """Two dead letters."""
    for offer in ("first", "second"):
        register.decline(offer)
        register.attempt(REFUSED)


def paused(register: Register) -> None:
    """A credential at fault."""
    register.decline()
    register.attempt(UNAUTHORISED)


def overdue(register: Register) -> None:
    """A decline that nobody claims."""
    register.decline()
    register.clock.pass_ms(15 * 60_000 + 1)


def repeated(register: Register) -> None:
    """A 409 that nobody expected: a dead letter and a conflict."""
    register.decline()
    register.attempt(REPEATED)


KINDS = [
    pytest.param(dead, [("dead", "raised", "ACME", 2)], id="dead"),
    pytest.param(paused, [("paused", "raised", None, 1)], id="paused"),
    pytest.param(overdue, [("overdue", "raised", "ACME", 1)], id="overdue"),
    pytest.param(
        repeated,
        [("conflict", "raised", "ACME", 1), ("dead", "raised", "ACME", 1)],
        id="repeated",
    ),
]


@pytest.mark.parametrize(("make", "expected"), KINDS)
def test_what_is_told(
    register: Register,
    watch: Watch,
    make: Callable[[Register], None],
    expected: list[tuple[str, str, str | None, int]],
) -> None:
    """Each kind by itself, with how many of whom."""
    alerts, server = watch(THANKS)
    make(register)

    alerts.look()

    assert sorted(told(server)) == expected


def test_what_is_on_its_way_is_no_alert(register: Register, watch: Watch) -> None:
    """Due for a quarter of an hour is not yet overdue."""
    alerts, server = watch(THANKS)
    register.decline()
    register.clock.pass_ms(15 * 60_000)

    alerts.look()

    assert server.requests == []


def test_a_message_is_what_the_standard_says(register: Register, watch: Watch) -> None:
    """Signed over id, time and body; nothing in it names an offer, an order or a customer."""
    alerts, server = watch(THANKS)
    conflict(register)
    since = register.find().updated_at
    register.clock.pass_ms(1_000)

    alerts.look()

    (request,) = server.requests
    assert (request.method, request.target) == ("POST", "/hook?x=1")
    assert request.headers["webhook-signature"] == _signature(request)
    assert since == START + 1
    assert json.loads(request.body) == {
        "type": "alert",
        "alert": "conflict",
        "state": "raised",
        "partner": "ACME",
        "count": 1,
        "since": "2027-01-15T08:00:00.001Z",
        "at": "2027-01-15T08:00:01.001Z",
        "id": request.headers["webhook-id"],
    }


def _signature(request: Received) -> str:
    """Return the signature as a receiver computes it."""
    head = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}."
    key = b64decode(SECRET.removeprefix("whsec_"))
    return "v1," + b64encode(hmac.digest(key, head.encode() + request.body, "sha256")).decode()


def test_the_published_example_is_signed_alike() -> None:
    """Its key, id, time, body and signature are those of Svix' and the standard's libraries."""
    key = b64decode(SECRET.removeprefix("whsec_"))
    message = "msg_p5jXN8AQM9LWM0D4loKWxJek"

    headers = signed(key, message, 1614265330, b'{"test": 2432232314}')

    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def _hang_up(_request: Received, _socket: object) -> None:
    """Answer nothing."""


FAILURES = {
    "refused": reply(500),
    "sent elsewhere": reply(302, Location="/elsewhere"),
    "cut": _hang_up,
}


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
def test_what_did_not_get_through_is_told_with_the_next_look(
    register: Register, watch: Watch, failure: bytes | Step
) -> None:
    """Under the same id, as it may have got through; no redirect is followed."""
    alerts, server = watch(failure, THANKS)
    conflict(register)
    with capture_logs() as logs:
        alerts.look()
        alerts.look()
        alerts.look()

    assert told(server) == [("conflict", "raised", "ACME", 1)] * 2
    assert len({request.headers["webhook-id"] for request in server.requests}) == 1
    assert {request.target for request in server.requests} == {"/hook?x=1"}
    assert [line["event"] for line in logs] == ["alert.raised", "alert.failed"]
    assert "hook" not in json.dumps(logs)


def test_that_it_is_over_is_told_until_it_is_heard(register: Register, watch: Watch) -> None:
    """Somebody still believes that it stands."""
    alerts, server = watch(THANKS, reply(503), THANKS)
    row = conflict(register)
    alerts.look()
    resolve(register, row)
    for _ in range(3):
        alerts.look()

    assert [state for _, state, *_ in told(server)] == ["raised", "over", "over"]


def test_nobody_is_told_the_end_of_what_they_never_heard_of(
    register: Register, watch: Watch
) -> None:
    """The webhook was away while it stood."""
    alerts, server = watch(reply(503), THANKS)
    row = conflict(register)
    alerts.look()
    resolve(register, row)
    alerts.look()

    assert [state for _, state, *_ in told(server)] == ["raised"]


def test_the_log_says_it_without_a_webhook(register: Register, tmp_path: Path) -> None:
    """Once when it begins, and once when it is over."""
    settings = at(tmp_path).load()
    alerts = Alerts(register.database, lambda: settings)
    row = conflict(register)
    with capture_logs() as logs:
        alerts.look()
        alerts.look()
        resolve(register, row)
        alerts.look()
        alerts.look()

    events = [(line["event"], line["alert"], line["partner"], line["count"]) for line in logs]
    assert events == [
        ("alert.raised", "conflict", "ACME", 1),
        ("alert.over", "conflict", "ACME", 0),
    ]


def test_a_webhook_that_is_named_later_hears_what_stands(
    register: Register, tmp_path: Path
) -> None:
    """Settings are read anew at every look."""
    home = at(tmp_path)
    settings = [home.load()]
    alerts = Alerts(register.database, lambda: settings[-1])
    conflict(register)
    with RawServer(THANKS) as server:
        alerts.look()
        settings.append(with_webhook(home, server.url))
        alerts.look()

    assert told(server) == [("conflict", "raised", "ACME", 1)]


def test_no_proxy_of_the_environment_is_used(
    register: Register, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is alerted goes where the settings say, and nowhere else."""
    alerts, server = watch(THANKS)
    conflict(register)
    with RawServer(THANKS) as other:
        monkeypatch.setenv("HTTP_PROXY", other.url)
        monkeypatch.setenv("ALL_PROXY", other.url)
        alerts.look()

    assert (len(server.requests), other.requests) == (1, [])


UNFIT = ["", "whsec_", "whsec_AAAA", "not base64!", f"{SECRET}-_"]


@pytest.mark.parametrize("secret", UNFIT)
def test_an_unfit_secret_is_refused(tmp_path: Path, secret: str) -> None:
    """Before anything is served; a secret of the wrong shape would sign what nobody can verify."""
    settings = with_webhook(at(tmp_path), "https://hooks.example/x", secret)

    with pytest.raises(ConfigurationError):
        judge(settings)


def test_no_webhook_needs_no_secret(tmp_path: Path) -> None:
    """As no alert is signed."""
    judge(at(tmp_path).load())


def test_a_secret_may_come_without_its_prefix(tmp_path: Path) -> None:
    """Some receivers show it so."""
    plain = SECRET.removeprefix("whsec_")
    (tmp_path / "other").mkdir()
    bare = with_webhook(at(tmp_path / "other"), "https://hooks.example/x", plain)

    assert key_of(bare) == b64decode(plain)


def test_a_service_with_a_worker_refuses_what_it_could_not_sign(tmp_path: Path) -> None:
    """One without tells nobody, and need not have the secret."""
    home = at(tmp_path)
    home.secret("key", "a-key-of-a-test")
    with_webhook(home, "https://hooks.example/x", "whsec_AAAA")

    with pytest.raises(ConfigurationError, match="webhook_secret"):
        Service(configuration_of(home.config))
    assert Service(configuration_of(home.config), with_worker=False).alerts is None


def test_it_looks_by_itself_until_it_is_stopped(register: Register, tmp_path: Path) -> None:
    """And a webhook that hangs does not hold up the stop."""
    came = threading.Event()

    def hang(_request: Received, _socket: Any) -> bytes:
        came.set()
        server.stopping.wait()
        return THANKS

    conflict(register)
    with RawServer(hang) as server:
        settings = with_webhook(at(tmp_path), server.url)
        alerts = Alerts(register.database, lambda: settings, span_s=0.01)
        alerts.start()
        assert came.wait(30)
        alerts.stop()

    assert len(server.requests) == 1
