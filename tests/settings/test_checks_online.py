"""`check --online`: real hosts on this machine, good ones and wrong ones."""

import json
import re
import socket
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from time import time

import pytest

from proxy.assets import folder
from proxy.checks.findings import Finding
from proxy.checks.online import certificate_findings, online_findings
from proxy.checks.reaching import Reached
from proxy.checks.running import service_findings
from proxy.cli import main
from proxy.receipts import load_signing_key
from proxy.sandbox.serve import Sandbox
from proxy.settings import Settings
from tests.acceptance.deployment import Deployment, until
from tests.sandbox.caller import calling
from tests.settings.broken_homes import good
from tests.settings.home import BASE, ELEMENTS, Home
from tests.settings.shell import run
from tests.upstream.certificates import Authority
from tests.upstream.raw_server import RawServer, Received, Step, reply

RELEASED = json.loads((folder("static") / "s/released.json").read_text("utf-8"))
SCRIPTS = json.dumps(
    {"scripts": [{"version": key, "integrity": value} for key, value in RELEASED.items()]}
).encode()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """An authority that the checks are told to trust."""
    return Authority(tmp_path)


def at(home: Home, *, upstream: str, public: str, more: str = "") -> Settings:
    """Return the settings of a good home whose insurer and public address are elsewhere."""
    good(home)
    text = BASE.replace("https://proxy.shop.example", public) + f'base_url = "{upstream}"\n' + more
    return home.load(text)


def found_in(
    settings: Settings, authority: Authority | None = None, *, ours: bool = True
) -> dict[str, Finding]:
    """Return the worst finding of each check, of our own address too if *ours*."""
    authorities = str(authority.file) if authority else None
    found: dict[str, Finding] = {}
    order = ("ok", "warn", "fail")
    for one in online_findings(settings, RELEASED, authorities):
        before = found.get(one.check)
        if before is None or order.index(one.verdict) > order.index(before.verdict):
            found[one.check] = one
    return found if ours else {name: one for name, one in found.items() if name in UPSTREAM}


UPSTREAM = ("upstream", "certificate", "clock", "credentials")
NOWHERE = "http://127.0.0.1:9"


def late_by(seconds: int) -> Step:
    """Return what answers with a clock that is so late."""
    return lambda _request, _sock: reply(404, Date=formatdate(time() - seconds, usegmt=True))


def test_a_good_insurer(home: Home, authority: Authority) -> None:
    """Trusted, with a clock that agrees; and it was asked for nothing but its root."""
    with RawServer(late_by(0), tls=authority.context("127.0.0.1", days=100)) as server:
        settings = at(home, upstream=f"{server.url}/x", public=NOWHERE)
        found = found_in(settings, authority, ours=False)

    assert {name: str(one.verdict) for name, one in found.items()} == dict.fromkeys(UPSTREAM, "ok")
    assert "can only be judged by a first delivery" in found["credentials"].says
    assert [(one.method, one.target, one.body) for one in server.requests] == [("GET", "/", b"")]
    assert not {"authorization", "x-api-key"} & server.requests[0].headers.keys()


@pytest.mark.parametrize(
    ("late", "verdict", "words"),
    [
        (30, "warn", r"clock is (29|30|31)\.\d s behind ours"),
        (-300, "fail", r"clock is (299|300|301)\.\d s ahead of ours"),
    ],
)
def test_an_insurers_clock_that_is_apart(home: Home, late: int, verdict: str, words: str) -> None:
    """It is more likely ours that is wrong."""
    with RawServer(late_by(late)) as server:
        found = found_in(at(home, upstream=server.url, public=NOWHERE), ours=False)

    assert found["clock"].verdict == verdict
    assert re.search(words, found["clock"].says)
    assert "chrony" in found["clock"].mend


def test_a_name_that_is_not_known(home: Home) -> None:
    """The name server is at fault, or the name."""
    settings = at(home, upstream="https://insurer.invalid", public=NOWHERE)
    found = found_in(settings, ours=False)

    assert found["upstream"].verdict == "fail"
    assert "insurer.invalid has no address" in found["upstream"].says
    assert "credentials" not in found


def test_a_port_that_is_closed(home: Home) -> None:
    """The firewall is named."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    found = found_in(at(home, upstream=f"https://127.0.0.1:{port}", public=NOWHERE), ours=False)

    assert f"takes no connection at port {port}" in found["upstream"].says
    assert "firewall" in found["upstream"].mend


CERTIFICATES = {  # whose, for how many days, of an authority that is trusted
    "expired": ("127.0.0.1", -1, True, "has expired", "must renew it"),
    "of another": ("127.0.0.2", 1, True, "is for another name", "Mend the host"),
    "of nobody": ("127.0.0.1", 1, False, "is of nobody we trust", "looks into TLS"),
}


@pytest.mark.parametrize("name", CERTIFICATES)
def test_a_certificate_that_proves_nothing(home: Home, authority: Authority, name: str) -> None:
    """No request leaves, and no secret."""
    host, days, is_trusted, says, mend = CERTIFICATES[name]
    with RawServer(reply(200), tls=authority.context(host, days=days)) as server:
        settings = at(home, upstream=server.url, public=NOWHERE)
        found = found_in(settings, authority if is_trusted else None, ours=False)

    assert found["certificate"].verdict == "fail"
    assert says in found["certificate"].says
    assert mend in found["certificate"].mend
    assert server.requests == []


def test_a_certificate_that_ends_soon(home: Home, authority: Authority) -> None:
    """A warning a fortnight before."""
    with RawServer(late_by(0), tls=authority.context("127.0.0.1", days=13)) as server:
        found = found_in(at(home, upstream=server.url, public=NOWHERE), authority, ours=False)

    assert found["certificate"].verdict == "warn"
    assert "ends on" in found["certificate"].says


def test_a_certificate_that_will_do() -> None:
    """From a fortnight on, and without TLS there is none."""
    day = 86_400.0

    assert [one.verdict for one in certificate_findings(Reached("a", 15 * day), 0)] == ["ok"]
    assert list(certificate_findings(Reached("a", None), 0)) == []


def test_a_host_that_speaks_no_tls(home: Home, authority: Authority) -> None:
    """Told apart from a certificate that is wrong."""
    with RawServer(reply(200)) as server:
        url = server.url.replace("http:", "https:")
        found = found_in(at(home, upstream=url, public=NOWHERE), authority, ours=False)

    assert "speaks no TLS that we understand" in found["certificate"].says


# -- access tokens ----------------------------------------------------------------------------


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """The insurer of XCover Elements."""
    with calling(Sandbox()) as caller:
        yield caller.sandbox


def elements_of(home: Home, port: int, **secrets: str) -> Settings:
    """Return settings that report to the sandbox at *port*."""
    good(home)
    for name, text in secrets.items():
        home.secret(name, text)
    base = BASE.partition("[partners.ACME.upstreams")[0].replace(
        "https://proxy.shop.example", NOWHERE
    )
    return home.load(f'{base}{ELEMENTS}base_url = "http://127.0.0.1:{port}"\n')


def credentials_of(sandbox: Sandbox) -> dict[str, str]:
    """Return the texts of the secret files that the sandbox takes."""
    return {"id": sandbox.options.client_id, "secret": sandbox.options.client_secret}


def port_of(sandbox: Sandbox) -> int:
    """Return where it listens."""
    return int(sandbox.url.rpartition(":")[2])


def test_credentials_that_buy_a_token(home: Home, sandbox: Sandbox) -> None:
    """One call, and no report."""
    settings = elements_of(home, port_of(sandbox), **credentials_of(sandbox))
    found = found_in(settings, ours=False)

    assert found["credentials"].verdict == "ok"
    assert [one["path"] for one in sandbox.requests()] == ["/", "/api/oauth/token"]
    assert sandbox.effects() == {}


def test_credentials_that_are_wrong(home: Home, sandbox: Sandbox) -> None:
    """The sentence has the status, and neither id nor secret."""
    given = credentials_of(sandbox) | {"secret": "another-secret-9"}
    found = found_in(elements_of(home, port_of(sandbox), **given), ours=False)["credentials"]

    assert found.verdict == "fail"
    assert "gives no access token for client id and secret (401)" in found.says
    assert "Compare both files" in found.mend
    assert not [text for text in given.values() if text in found.says + found.mend]


def test_a_token_that_does_not_come(home: Home, sandbox: Sandbox) -> None:
    """That is the insurer's trouble, not the credentials'."""
    settings = elements_of(home, port_of(sandbox), **credentials_of(sandbox))
    sandbox.fault("status", status=503, path_prefix="/api/oauth/")
    found = found_in(settings, ours=False)["credentials"]

    assert "no access token came (503)" in found.says
    assert "the insurer must look" in found.mend


# -- our own address and the webhook ----------------------------------------------------------


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A real `serve` with its sandbox."""
    deployment = Deployment(tmp_path_factory.mktemp("online"))
    try:
        deployment.start()
        yield deployment
    finally:
        deployment.end()


def served(deployment: Deployment, **other: object) -> Settings:
    """Return the settings that it serves with, some of them others."""
    return Home(deployment.folder).load_again().model_copy(update=other)


def test_a_deployment_that_is_well(deployment: Deployment) -> None:
    """By the command itself, with the service running, its private listener named."""
    admin = f"127.0.0.1:{deployment.admin_port}"
    done = run(main, "check", "--config", deployment.config, "--online", "--admin", admin)

    assert done.exit_code == 0, done.stdout
    told = dict(re.findall(r"^(\w+) +(ok|warn|fail)", done.stdout, re.MULTILINE))
    wanted = ("service", "upstream", "clock", "credentials", "public", "scripts", "receipts")
    assert {name: told.get(name) for name in wanted} == dict.fromkeys(wanted, "ok")
    assert f"The one at {admin} is ready" in done.stdout


def test_a_public_address_where_nobody_is(home: Home) -> None:
    """Nothing more is asked."""
    found = found_in(at(home, upstream=NOWHERE, public=NOWHERE))

    assert "takes no connection at port 9" in found["public"].says
    assert "scripts" not in found


def test_another_host_name(deployment: Deployment) -> None:
    """The usual fault of who stands before the proxy."""
    there = f"http://localhost:{deployment.port}"
    found = found_in(served(deployment, public_url=there))

    assert "passed on to us under another Host" in found["public"].says
    assert "proxy_set_header Host" in found["public"].mend


def test_another_key(deployment: Deployment, home: Home) -> None:
    """Another deployment answers, or a machine with a key of its own."""
    other = home.folder / "signing.pem"
    load_signing_key(other)
    found = found_in(served(deployment, signing_key_file=other))

    assert "signs with another key than ours" in found["receipts"].says
    assert "`signing_key_file`" in found["receipts"].mend


def test_other_scripts(deployment: Deployment) -> None:
    """Versions are mixed, or somebody changed one."""
    released = RELEASED | {"0.0.1": "sha384-AAAA"}
    found = {one.check: one for one in online_findings(served(deployment), released)}

    assert "lists other scripts" in found["scripts"].says


def test_a_private_listener_that_is_public(deployment: Deployment) -> None:
    """Whoever mixes up both addresses shows the world everything."""
    there = f"http://127.0.0.1:{deployment.admin_port}"
    found = found_in(served(deployment, public_url=there))

    assert "the private listener, for all the world to see" in found["private"].says
    assert "never to `--admin-bind`" in found["private"].mend
    assert "not as we would" in found["scripts"].says


def test_an_address_that_redirects(deployment: Deployment) -> None:
    """A page follows none."""
    with RawServer(reply(301, Location="https://www.shop.example/")) as server:
        found = found_in(served(deployment, public_url=server.url))

    assert "redirects to https://www.shop.example/" in found["public"].says
    assert len(server.requests) == 3


def scripts_only(**headers: str) -> Step:
    """Return what lists the right scripts and knows nothing else."""

    def step(request: Received, _sock: socket.socket) -> bytes:
        listed = request.target.endswith("choice-scripts.json")
        return reply(200, SCRIPTS, **headers) if listed else reply(404)

    return step


@pytest.mark.parametrize("headers", [{}, {"Strict_Transport_Security": "max-age=1"}])
def test_an_address_that_browsers_are_not_bound_to(
    home: Home, authority: Authority, headers: dict[str, str]
) -> None:
    """Without the header the first call of a browser may go without TLS."""
    context = authority.context("127.0.0.1", days=100)
    with RawServer(scripts_only(**headers), tls=context) as server:
        found = found_in(at(home, upstream=NOWHERE, public=server.url), authority)

    assert found["scripts"].verdict == "ok"
    assert found["public"].verdict == ("ok" if headers else "warn")
    assert ("Strict-Transport-Security" in found["public"].says) == (not headers)


def test_an_answer_that_breaks_off(home: Home) -> None:
    """Of what stands before the proxy, while the proxy is away."""
    with RawServer(lambda _request, _sock: None) as server:
        found = found_in(at(home, upstream=NOWHERE, public=server.url))

    assert "gave no answer that can be read" in found["public"].says


@pytest.mark.parametrize("is_there", [True, False])
def test_a_webhook_is_reached_and_told_nothing(home: Home, *, is_there: bool) -> None:
    """Its path may be a secret, and a post would be an alert."""
    home.secret("hook", "whsec_" + "A" * 44)
    with RawServer(reply(200)) as server:
        url = f"{server.url if is_there else NOWHERE}/in-the-path-8"
        more = f'[alerts]\nwebhook = "{url}"\nwebhook_secret_file = "secrets/hook"\n'
        found = found_in(at(home, upstream=NOWHERE, public=NOWHERE, more=more))["webhook"]

    assert found.verdict == ("ok" if is_there else "fail")
    assert "in-the-path-8" not in found.says
    assert server.requests == []


# -- what runs already ------------------------------------------------------------------------


def test_a_service_that_keeps_its_old_settings(deployment: Deployment) -> None:
    """What is in the file is wrong for it; it said so to nobody who looked."""
    good_text = deployment.config.read_text()
    address = ("127.0.0.1", deployment.admin_port)
    deployment.config.write_text(f"{good_text}\nsettle_for = 1\n")
    try:
        until(lambda: _told(address).verdict == "fail", "the alarm")
        found = _told(address)
    finally:
        deployment.config.write_text(good_text)

    assert "goes on with old settings" in found.says
    until(lambda: _told(address).verdict == "ok", "the end of the alarm")


def _told(address: tuple[str, int]) -> Finding:
    return list(service_findings(*address))[-1]


def test_a_service_that_is_not_ready() -> None:
    """Each reason is a finding."""
    reasons = json.dumps({"ready": False, "reasons": ["delivery: it stands", "a; do b"]}).encode()
    with RawServer(reply(503, reasons)) as server:
        found = list(service_findings("127.0.0.1", server.port))

    assert [(one.verdict, one.says) for one in found] == [
        ("fail", "It is not ready: delivery: it stands."),
        ("fail", "It is not ready: a."),
    ]
    assert found[1].mend == "do b"


def test_something_else_at_the_private_address() -> None:
    """Most likely --admin-bind was given another place."""
    with RawServer(reply(404, b"{}")) as server:
        (found,) = service_findings("127.0.0.1", server.port)

    assert found.verdict == "warn"
    assert "--admin HOST:PORT" in found.mend
