"""The private listener."""

import json
from collections.abc import Mapping

import pytest
from flask.testing import FlaskClient
from prometheus_client import CollectorRegistry

from proxy.errors import StorageUnavailable
from proxy.web.ops import Refusals
from proxy.web.private import create_private
from tests.web.deployment import Files, a_configuration


def unreadable() -> Mapping[str, float]:
    """Fail as storage does."""
    raise StorageUnavailable


@pytest.fixture
def reasons() -> list[str]:
    """Why the process is not ready."""
    return []


@pytest.fixture
def client(files: Files, reasons: list[str], registry: CollectorRegistry) -> FlaskClient:
    """The private application; 192.0.2.0/24 may use it."""
    text = files.path.read_text()
    files.path.write_text(f'admin_networks = ["192.0.2.0/24"]\n{text}')
    figures = {"deliveries.held": 3.0, "deliveries.due": 2.0, "oldest_due_seconds": 1.5}
    configuration = a_configuration(files)
    return create_private(configuration, lambda: reasons, lambda: figures, registry).test_client()


def test_a_process_that_can_work_is_ready(client: FlaskClient) -> None:
    """200 for the orchestrator."""
    answer = client.get("/readyz")

    assert (answer.status_code, json.loads(answer.text)) == (200, {"ready": True, "reasons": []})


def test_a_process_that_can_not_says_why(client: FlaskClient, reasons: list[str]) -> None:
    """503, and a sentence for a person."""
    reasons.append("storage: the database can not be written")
    answer = client.get("/readyz")

    assert (answer.status_code, json.loads(answer.text)["reasons"]) == (503, reasons)


def test_the_figures_are_read_when_asked_for(
    client: FlaskClient, registry: CollectorRegistry
) -> None:
    """From the register, and from what this process counts."""
    Refusals(registry).count("rate_limited")
    lines = client.get("/metrics").text.splitlines()

    assert 'proxy_deliveries{report="held"} 3.0' in lines
    assert 'proxy_deliveries{report="due"} 2.0' in lines
    assert "proxy_oldest_due_seconds 1.5" in lines
    assert "proxy_register_readable 1.0" in lines
    assert 'proxy_refused_total{code="rate_limited"} 1.0' in lines


def test_figures_without_a_register_say_so(files: Files) -> None:
    """A monitor must not take silence for health."""
    private = create_private(a_configuration(files), list, unreadable).test_client()
    answer = private.get("/metrics")

    assert answer.status_code == 200
    assert "proxy_register_readable 0.0" in answer.text


@pytest.mark.parametrize(
    ("peer", "status"),
    [
        ("127.0.0.1", 200),
        ("127.8.8.8", 200),
        ("::1", 200),
        ("::ffff:127.0.0.1", 200),
        ("192.0.2.7", 200),
        ("192.0.3.7", 404),
        ("10.0.0.1", 404),
        ("", 404),
    ],
)
@pytest.mark.parametrize("path", ["/readyz", "/metrics"])
def test_strangers_see_nothing(client: FlaskClient, path: str, peer: str, status: int) -> None:
    """Nobody outside learns that there is a private listener."""
    answer = client.get(
        path, headers={"X-Forwarded-For": "127.0.0.1"}, environ_overrides={"REMOTE_ADDR": peer}
    )

    assert answer.status_code == status


@pytest.mark.parametrize("path", ["/v1/choices", "/healthz", "/", "/readyz/"])
def test_nothing_public_is_private(client: FlaskClient, path: str) -> None:
    """Each listener has its own calls."""
    assert client.get(path).status_code == 404
