"""Insurers that say back what they were told, each in a way of its own."""

import json
import secrets
import socket
import threading
from collections.abc import Callable
from urllib.parse import quote

from tests.leaks.vault import Vault
from tests.upstream.raw_server import RawServer, Received, Step, reply, reset

TOKEN_PATH = "/api/oauth/token"
Way = Callable[[Received], bytes | None]


class StandIns:
    """One server for each behaviour; access tokens that they issue go into the vault."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._released = threading.Event()
        self.renewed: dict[str, str] = {}  # what takes the place of a secret since it was changed
        hmac, oauth = ("api key", "api secret"), ("client id", "client secret")
        self.hmac: dict[str, Step] = {
            "calm": _calm,
            "echoing-401": self._echo_header,
            "echoing-400": self._echo_all,
            "knowing": self._saying(hmac),
            "moving": self._move,
            "page": self._page,
            "cut": self._cut,
            "broken": _break,
            "slow": self._wait,
        }
        self.oauth: dict[str, Step] = {
            "token": self._with_token(_calm),
            "token-page": self._page,
            "token-refusal": self._echo_all,
            "token-known": self._saying(oauth),
            "token-moving": self._move,
            "denying": self._with_token(self._echo_header),
            "customer-echo": self._with_token(self._echo_all),
        }

    def release(self) -> None:
        """Let whoever waits go on."""
        self._released.set()

    def server(self, name: str) -> RawServer:
        """Return the server of one behaviour, not started."""
        return RawServer({**self.hmac, **self.oauth}[name])

    def _with_token(self, step: Step) -> Step:
        def answer(request: Received, sock: socket.socket) -> bytes | None:
            if request.target != TOKEN_PATH:
                return step(request, sock)
            number = len(self._vault.texts)
            token = self._vault.add(f"access token {number}", f"at.{secrets.token_urlsafe(24)}")
            return _json(200, {"access_token": token, "expires_in": 3600})

        return answer

    def _echo_header(self, request: Received, _: socket.socket) -> bytes:
        said = request.headers.get("authorization", "")
        return _json(401, {"message": f"{said} is not known", "errors": request.headers})

    def _echo_all(self, request: Received, _: socket.socket) -> bytes:
        body = request.body.decode()
        told = json.loads(body) if body else {}
        said = {"message": f"not so: {body}", "errors": {"body": told, "of": request.headers}}
        return _json(400, {"error_description": body} | said)

    def _saying(self, names: tuple[str, ...]) -> Step:
        """Return what says the secrets *names*, in the ways that an error message may have."""

        def answer(_: Received, __: socket.socket) -> bytes:
            known = [self._vault[self.renewed.get(name, name)] for name in names]
            spelt = [*known, *(quote(one, safe="") for one in known)]
            said = {"message": " ".join(spelt), "errors": dict(enumerate(known))}
            return _json(422, said)

        return answer

    def _move(self, request: Received, _: socket.socket) -> bytes:
        to = f"https://elsewhere.example/?s={self._secret()}&{quote(str(request.headers))}"
        return reply(307, request.body, Location=to)

    def _page(self, _: Received, __: socket.socket) -> bytes:
        page = f"<html><body>{self._secret()} {self._vault['client secret']}</body></html>"
        return reply(200, page.encode(), Content_Type="text/html")

    def _cut(self, request: Received, sock: socket.socket) -> None:
        body = self._secret().encode() + str(request.headers).encode()
        sock.sendall(b"HTTP/1.1 400 Bad\r\nContent-Length: 9000\r\n\r\n" + body)

    def _wait(self, _: Received, __: socket.socket) -> None:
        self._released.wait(60)

    def _secret(self) -> str:
        return quote(self._vault["api secret"], safe="")


def _calm(_: Received, __: socket.socket) -> bytes:
    return reply(204)


def _break(_: Received, sock: socket.socket) -> None:
    reset(sock)


def _json(status: int, document: object) -> bytes:
    return reply(status, json.dumps(document).encode(), Content_Type="application/json")
