"""Commands that write go through the running `serve`, so that SQLite keeps its single writer.

A Unix socket beside the database, mode 0600: whoever may write the file may speak here.
"""

import json
import os
import socket
import socketserver
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any

import structlog

from proxy.accounts import Accounts, Change
from proxy.conflicts import Conflicts, Resolution
from proxy.dead_letters import DeadLetters
from proxy.erasure import Erasures
from proxy.errors import StorageUnavailable
from proxy.intake import Intake
from proxy.missing import Told, report
from proxy.retention import Retention

log = structlog.get_logger()

TIMEOUT_S = 60.0
_LONGEST = 1 << 20
_STEP_S = 5.0  # of one answer to `purge`


def socket_path(database: Path) -> Path:
    """Return where the `serve` of *database* listens for commands."""
    real = database.resolve()
    return real.with_name(real.name + ".sock")


class Control:
    """Answers commands: one JSON line in, one JSON line out."""

    def __init__(
        self,
        path: Path,
        *,
        dead_letters: DeadLetters,
        conflicts: Conflicts,
        intake: Intake,
        accounts: Accounts | None = None,
        erasures: Erasures | None = None,
        retention: Retention | None = None,
    ) -> None:
        self._path = path
        self._dead_letters = dead_letters
        self._conflicts = conflicts
        self._intake = intake
        self._accounts = accounts
        self._erasures = erasures
        self._retention = retention
        self._server: socketserver.ThreadingUnixStreamServer | None = None

    def start(self) -> None:
        """Listen; a socket that a killed predecessor left is replaced."""
        self._path.unlink(missing_ok=True)
        control = self

        class Handler(socketserver.StreamRequestHandler):
            timeout = TIMEOUT_S

            def handle(self) -> None:
                line = self.rfile.readline(_LONGEST)
                self.wfile.write(json.dumps(control.answer(line)).encode() + b"\n")

        before = os.umask(0o177)  # never, not even for a moment, open to others
        try:
            self._server = socketserver.ThreadingUnixStreamServer(str(self._path), Handler)
        finally:
            os.umask(before)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, name="control", daemon=True).start()

    def stop(self) -> None:
        """Stop listening."""
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._path.unlink(missing_ok=True)

    def answer(self, line: bytes) -> dict[str, Any]:
        """Do what *line* asks for; return what came of it, or `error`."""
        try:
            return self._do(json.loads(line))
        except (ValueError, KeyError, TypeError):
            return {"error": "that is not a command"}
        except StorageUnavailable:
            return {"error": "the database can not be written"}

    def _do(self, asked: dict[str, Any]) -> dict[str, Any]:
        match asked["command"]:
            case "requeue":
                return {"done": self._requeue(asked)}
            case "resolve":
                return {"refused": self._resolve(asked)}
            case "erase" if self._erasures:
                came, emptied = self._erasures.erase([int(row) for row in asked["rows"]])
                return {"came": came, "emptied": emptied}
            case "purge" if self._retention:
                gone, is_done = self._retention.purge(_STEP_S)
                return {"gone": [asdict(one) for one in gone], "done": is_done}
            case "reconcile":
                return {"became": report(self._intake, [Told(*one) for one in asked["told"]])}
            case _:
                return self._do_users(asked)

    def _do_users(self, asked: dict[str, Any]) -> dict[str, Any]:
        if asked["command"] != "users" or self._accounts is None:
            return {"error": "there is no such command"}
        return {"refused": self._accounts.change(Change.from_words(asked["change"]))}

    def _requeue(self, asked: dict[str, Any]) -> list[bool]:
        return [self._dead_letters.requeue(int(row), asked["note"]) for row in asked["rows"]]

    def _resolve(self, asked: dict[str, Any]) -> str | None:
        resolution = Resolution(asked["as"])
        return self._conflicts.resolve(int(asked["row"]), resolution, asked["note"])


def ask(path: Path, command: dict[str, Any]) -> dict[str, Any] | None:
    """Return the answer of the `serve` behind *path*; None if none is there."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(TIMEOUT_S)
        try:
            connection.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return None
        connection.sendall(json.dumps(command).encode() + b"\n")
        with connection.makefile("rb") as answers:
            answer: dict[str, Any] = json.loads(answers.readline(_LONGEST))
    return answer
