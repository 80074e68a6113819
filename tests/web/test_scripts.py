"""The released files, to the byte."""

import base64
import hashlib
import json
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from proxy.receipts import Signer
from proxy.web.scripts import blueprint, released
from tests.web.deployment import Deployment

CONTENT = b"'use strict'; // one\n"


@pytest.fixture
def static(tmp_path: Path) -> Path:
    """A folder with two releases, and with what is none."""
    for name in ("1.0.0", "1.1.0-rc.1", "latest", ".git"):
        folder = tmp_path / "static" / "s" / name
        folder.mkdir(parents=True)
        (folder / "choice.js").write_bytes(CONTENT)
    return tmp_path / "static"


@pytest.fixture
def client(static: Path, signer: Signer) -> FlaskClient:
    """The files alone, without the guard."""
    app = Flask(__name__)
    app.register_blueprint(blueprint(released(static), signer))
    return app.test_client()


def test_a_release_is_served_for_ever(client: FlaskClient) -> None:
    """Any page may load it with an integrity attribute; nothing of it ever changes."""
    answer = client.get("/s/1.0.0/choice.js")

    assert answer.data == CONTENT
    assert answer.headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert "Set-Cookie" not in answer.headers


def test_the_list_proves_each_release(client: FlaskClient) -> None:
    """A monitor can tell a release from a tampered file."""
    listed = json.loads(client.get("/.well-known/choice-scripts.json").text)["scripts"]
    digest = base64.b64encode(hashlib.sha384(CONTENT).digest()).decode()

    assert [script["version"] for script in listed] == ["1.0.0", "1.1.0-rc.1"]
    assert listed[0] == {
        "version": "1.0.0",
        "path": "/s/1.0.0/choice.js",
        "integrity": f"sha384-{digest}",
        "bytes": len(CONTENT),
    }


def test_the_keys_of_receipts_are_published(client: FlaskClient, signer: Signer) -> None:
    """Anyone can verify a receipt."""
    assert json.loads(client.get("/.well-known/choice-keys.json").text) == signer.public_keys()


@pytest.mark.parametrize("query", ["?callback=x", "?1"])
def test_a_release_has_one_address(deployment: Deployment, query: str) -> None:
    """A query would make many of one file."""
    assert deployment.get(f"/s/1.0.0/choice.js{query}").status_code == 404


def test_what_is_in_the_package_is_served(deployment: Deployment) -> None:
    """Each released version that the list names, with its hash."""
    listed = json.loads(deployment.get("/.well-known/choice-scripts.json").text)["scripts"]
    served = [deployment.get(script["path"]).data for script in listed]
    hashes = [base64.b64encode(hashlib.sha384(content).digest()).decode() for content in served]

    assert [f"sha384-{digest}" for digest in hashes] == [script["integrity"] for script in listed]
