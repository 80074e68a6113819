"""Starting and stopping: inside a test, and as the command `sandbox`."""

import ipaddress
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import requests
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from proxy.cli.sandbox import command
from proxy.errors import ConfigurationError
from proxy.sandbox.options import SandboxOptions
from proxy.sandbox.serve import Sandbox, run
from tests.sandbox.caller import Caller, calling

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-c", "from proxy.cli.sandbox import command; command()"]


def test_credentials_are_random() -> None:
    """No two sandboxes share a secret, and none is shown by accident."""
    one, other = SandboxOptions(), SandboxOptions()

    assert len({one.api_secret, other.api_secret, one.client_secret, other.client_secret}) == 4
    assert one.api_secret not in repr(one)
    assert one.client_secret not in repr(one)


def test_stop_and_start_again() -> None:
    """An outage: nothing listens, then the same insurer is back and remembers."""
    sandbox = Sandbox()
    with calling(sandbox) as caller:
        caller.opt_out(key="k1")
        port = int(sandbox.url.rpartition(":")[2])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)

    with sandbox.start(port=port), Caller(sandbox) as again:
        assert again.opt_out(key="k1").status_code == 409
    sandbox.stop()


def test_stop_cuts_what_hangs() -> None:
    """No test waits for a hanging answer."""
    with calling(Sandbox()) as caller, ThreadPoolExecutor() as pool:
        caller.sandbox.fault("hang", seconds=600)
        answer = pool.submit(caller.opt_out, timeout=60)
        while not caller.sandbox.requests():
            time.sleep(0.01)

        caller.sandbox.stop()

        assert isinstance(answer.exception(timeout=5), requests.RequestException)


def test_ipv6() -> None:
    """The address family follows from the host."""
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    with Sandbox().start("::1") as sandbox, Caller(sandbox) as caller:
        assert caller.opt_out().status_code == 204


def test_urls() -> None:
    """The two base URLs that a configuration needs."""
    with Sandbox(SandboxOptions(prefix="/xcover")) as sandbox:
        assert sandbox.xcover_url == f"{sandbox.url}/xcover"
        assert sandbox.xone_url == sandbox.url


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A file with a key and a self-signed certificate for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    day = timedelta(days=1)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name)
    builder = builder.public_key(key.public_key()).serial_number(1)
    builder = builder.not_valid_before(datetime.now(UTC) - day)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
    made = builder.not_valid_after(datetime.now(UTC) + day).sign(key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    form = serialization.PrivateFormat.PKCS8
    text = key.private_bytes(pem, form, serialization.NoEncryption()) + made.public_bytes(pem)
    file = tmp_path / "certificate.pem"
    file.write_bytes(text)
    return file


def test_tls(certificate: Path) -> None:
    """A certificate that nobody trusts: an untrusting caller sends nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with Sandbox().start(tls=context) as sandbox, Caller(sandbox) as caller:
        with pytest.raises(requests.exceptions.SSLError):
            caller.opt_out()
        assert sandbox.requests() == []

        assert caller.opt_out(verify=str(certificate)).status_code == 204


@contextmanager
def running(**environ: str) -> Iterator[tuple["subprocess.Popen[str]", dict[str, str]]]:
    """Run the command until it is ready; yield it with what it printed, and end it."""
    with subprocess.Popen(
        [*COMMAND, "--port", "0"],
        cwd=ROOT,
        env={**os.environ, **environ},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        printed: dict[str, str] = {}
        while "sandbox ready" not in printed:
            name, _, value = process.stdout.readline().strip().partition(": ")
            printed[name] = value
        try:
            yield process, printed
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_command_ends_on_a_signal(number: signal.Signals) -> None:
    """It says where it is, and ends cleanly, with a connection open."""
    with running() as (process, printed), requests.Session() as session:
        url = printed["sandbox ready"]
        assert session.get(f"{url}/_sandbox", timeout=5).json()["partner"] == "LLODT"

        process.send_signal(number)

        assert process.wait(5) == 0
        assert process.stdout
        assert process.stdout.read() == ""


def test_command_makes_up_credentials() -> None:
    """What is not given is printed once, and is what the insurer goes by."""
    with running() as (_, printed):
        body = {
            "grant_type": "client_credentials",
            "client_id": printed["client_id"],
            "client_secret": printed["client_secret"],
        }

        answer = requests.post(f"{printed['sandbox ready']}/api/oauth/token", json=body, timeout=5)

    assert answer.status_code == 200
    assert {"api_key", "api_secret"} <= printed.keys()


def test_command_takes_credentials_from_the_environment() -> None:
    """Secrets do not belong on a command line, and given ones are not repeated."""
    given = {"SANDBOX_API_SECRET": "from-the-environment", "SANDBOX_PARTNER": "E3CCM"}
    with running(**given) as (_, printed):
        about = requests.get(f"{printed['sandbox ready']}/_sandbox", timeout=5).json()

    assert "api_secret" not in printed
    assert about["partner"] == "E3CCM"


def test_command_says_that_a_port_is_taken() -> None:
    """One sentence that says how to mend it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        result = CliRunner().invoke(command, ["--port", str(port), "--api-key", "k"])

    assert isinstance(result.exception, ConfigurationError)
    assert "choose another --port" in str(result.exception)


def test_the_command_leaves_the_signals_as_it_found_them() -> None:
    """A blocked SIGTERM would be inherited: no child of this process could be stopped."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        run(SandboxOptions(), "127.0.0.1", taken.getsockname()[1])

    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before
