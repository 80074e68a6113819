"""A running `serve` whose one partner may do everything, and the look at it afterwards."""

import json
import subprocess
import sys
from pathlib import Path

import requests

from proxy.keys import SigningKey, decode_secret
from proxy.tokens import Keyring
from tests.acceptance.deployment import Deployment, until

# Takes customer data and, so that nothing fuzzed is sent on, waits for a purchase and then a day.
UPSTREAM = (
    'api = "xone-quotes"\n',
    'oauth = { client_id_file = "api-key", client_secret_file = "api-secret" }\n',
)
KID = "acme-1"
TRACES = ("Traceback", "request.failed", "internal_error", '"level": "critical"')


class Fuzzed(Deployment):
    """A deployment without limits, with open offers, customer data and the richest of bodies."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, settle='"24h"')
        text = self.config.read_text()
        old = (
            'api = "xcover-offers"\n',
            'hmac = { api_key_file = "api-key", api_secret_file = "api-secret" }\n',
        )
        for before, after in zip(old, UPSTREAM, strict=True):
            assert before in text
            text = text.replace(before, after)
        self.config.write_text(
            'customer_keys = "customer-keys"\n'
            + text.replace("[partners.ACME]\n", "[partners.ACME]\ncustomer = true\n")
        )

    def handed_over(self) -> str:
        """Return what the hooks of the schema fuzzer must know."""
        return json.dumps(
            {
                "url": self.url,
                "origin": self.origin,
                "server_key": self.server_key,
                "secret": (self.folder / "signing").read_text().strip(),
            }
        )

    def examine(self) -> None:
        """Raise AssertionError if the fuzzing left a trace: a crash, a bad row, a deaf server."""
        log = self.proxy.log.read_text()
        assert not [line for line in log.splitlines() if any(trace in line for trace in TRACES)]
        told = self.say("after-the-storm")
        assert told.status_code == 202, told.text
        token = self.session("after-the-storm-too")
        assert self.page(token).status_code == 202
        until(lambda: requests.get(f"{self.url}/healthz", timeout=5).ok, "an answer")
        self.proxy.stop()
        verified = self.command("audit", "verify")
        assert verified.returncode == 0, verified.stdout + verified.stderr

    def page(self, token: str) -> requests.Response:
        """Decline as the shop's page does."""
        form = {
            "token": token,
            "choice": "declined",
            "id": "a1b2c3d4-0000-4000-8000-00000000ffff",
            "seq": "1800000000000",
            "at": "1800000000000",
        }
        return requests.post(
            f"{self.url}/v1/choices", data=form, headers={"Origin": self.origin}, timeout=30
        )

    def command(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run a command of the product on this deployment."""
        return subprocess.run(
            [sys.executable, "-m", "proxy", *words, "--config", str(self.config)],
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )


def keyring(secret: str) -> Keyring:
    """Return what mints the tokens of a deployment whose signing secret is *secret*."""
    key = SigningKey(kid=KID, partner="ACME", secret=decode_secret(secret))
    return Keyring([key], "optout-proxy:test")
