"""The demo's operator: an account of the dashboard, made as an operator makes one."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pyotp

NAME = "demo"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """What a visitor needs to sign in."""

    address: str  # of the dashboard
    password: str
    otpauth: str

    @property
    def code(self) -> str:
        """Return what an authenticator would show now."""
        (secret,) = parse_qs(urlsplit(self.otpauth).query)["secret"]
        return pyotp.TOTP(secret).now()


def make(config: Path, address: str) -> Operator:
    """Add the account through the `serve` that runs with *config*."""
    command = ["users", "add", NAME, "--role", "operator", "--json", "--config", str(config)]
    done = subprocess.run(
        [sys.executable, "-m", "proxy", *command], check=True, capture_output=True, timeout=60
    )
    told = json.loads(done.stdout)
    return Operator(address=address, password=told["password"], otpauth=told["otpauth"])
