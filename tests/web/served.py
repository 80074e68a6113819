"""Serves the public listener with gunicorn on a socket that it is handed: a child of a test.

Arguments: the configuration file, the file descriptor, the number of threads.
"""

import sys
import time
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from flask import Flask
from gunicorn.app.base import BaseApplication

from proxy.receipts import Signer
from proxy.reload import Configuration
from proxy.settings import load
from proxy.web.public import create_public
from tests.web.memory import MemoryIntake


class Child(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn with threads, and nothing of this machine's configuration."""

    def load_config(self) -> None:
        """Serve the descriptor that the test has opened."""
        options = {
            "bind": [f"fd://{sys.argv[2]}"],
            "worker_class": "gthread",
            "threads": int(sys.argv[3]),
            "loglevel": "error",
            "forwarded_allow_ips": "",
            "control_socket_disable": True,
            "limit_request_fields": 64,
            "graceful_timeout": 2,  # tests leave half-sent requests behind
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        """Build the application after the fork."""
        path = Path(sys.argv[1])
        return create_public(
            Configuration(load(path, {}), path, {}),
            MemoryIntake(),
            Signer(Ed25519PrivateKey.generate(), "optout-proxy:test"),
            lambda: time.time_ns() // 1_000_000,
        )


if __name__ == "__main__":
    Child().run()
