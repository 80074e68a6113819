"""An upstream that hands out access tokens and takes reports that carry one."""

import json
import socket
import threading
from collections.abc import Callable

from tests.upstream.raw_server import RawServer, Received, reply

TOKEN_PATH = "/api/oauth/token"


def grant(token: str, **fields: object) -> bytes:
    """Return the answer that hands out *token*; *fields* stand in for the usual ones."""
    usual = {"token_type": "Bearer", "expires_in": 3600, "access_token": token}
    document = json.dumps({**usual, **fields}).encode()
    return reply(200, document, Content_Type="application/json")


class TokenServer(RawServer):
    """Counts token calls; *answer* says what the n-th one gets, a token unless given."""

    def __init__(self, answer: Callable[[int], bytes] | None = None) -> None:
        super().__init__(self._route)
        self.token_calls: list[Received] = []
        self.reports: list[Received] = []
        self.refuse: set[str] = set()  # access tokens that are answered 401
        self.open = threading.Event()  # cleared, token calls hang
        self.open.set()
        self.asked = threading.Event()  # a token call is there
        self.answer = answer or (lambda number: grant(f"token-{number}"))
        self._counting = threading.Lock()

    def _route(self, request: Received, _sock: socket.socket) -> bytes:
        if request.target != TOKEN_PATH:
            self.reports.append(request)
            carried = request.headers["authorization"].removeprefix("Bearer ")
            return reply(401, b'{"message":"No"}') if carried in self.refuse else reply(204)
        with self._counting:
            self.token_calls.append(request)
            number = len(self.token_calls)
        self.asked.set()
        self.open.wait(timeout=30)
        return self.answer(number)
