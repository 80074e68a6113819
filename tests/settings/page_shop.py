"""A shop and its proxy on real sockets, and the page that the shop shows."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from flask import Flask
from werkzeug.serving import WSGIRequestHandler, make_server

from proxy import __version__
from proxy.assets import folder
from proxy.errors import Problem
from proxy.receipts import Signer
from proxy.tokens import Keyring
from proxy.web.scripts import blueprint, released
from tests.settings.home import BASE, Home

OFFER = "a1b2c3d4-0000-4000-8000-000000000001"
INTEGRITY = released(folder("static"))[__version__].integrity

TAG = (
    '<script async src="{proxy}/s/{version}/choice.js" integrity="{integrity}"'
    ' crossorigin="anonymous" data-token="{token}" data-offer="{offer}"></script>'
)
PAGE = """<!DOCTYPE html>
<html lang="en">
<head><title>Checkout</title><!--head-->{tag}</head>
<body>
<form action="/pay" method="post">
<label><input type="radio" name="cover" value="1" data-choice="accepted"> Protect my tickets</label>
<label><input type="radio" name="cover" value="0" data-choice="declined"> No, thank you</label>
<select name="seat"><option>1</option></select>
</form>
</body>
</html>"""


@dataclass
class Shop:
    """What the shop answers, and what its page is made of."""

    home: Home
    proxy: str = ""
    url: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    page: bytes = b""
    others: dict[str, tuple[int, dict[str, str], bytes]] = field(default_factory=dict)
    asked: list[dict[str, str]] = field(default_factory=list)

    def configure(self) -> None:
        """Write the configuration that knows this shop and this proxy."""
        text = BASE.replace("https://proxy.shop.example", self.proxy)
        self.home.write(text.replace("https://shop.example", self.url))

    def token(self, *, age: int = 0, **claims: Any) -> str:
        """Mint a token as the shop's server would; *age* in seconds."""
        keyring = Keyring.from_settings(self.home.load_again())
        given = {"offer": OFFER, "origin": self.url} | claims
        return keyring.mint("ACME", now=int(time.time()) - age, **given)

    def policy(self) -> str:
        """Return a policy that lets the snippet work, by host."""
        return f"default-src 'self'; script-src {self.proxy}; connect-src {self.proxy}"

    def good_tag(self, token: str | None = None) -> str:
        """Return the tag as `optout-proxy snippet` prints it."""
        return TAG.format(
            proxy=self.proxy,
            version=__version__,
            integrity=INTEGRITY,
            token=token or self.token(),
            offer=OFFER,
        )

    def show(self, markup: str | None = None) -> None:
        """Serve the good page, or *markup*, under the good policy."""
        self.page = (markup or PAGE.format(tag=self.good_tag())).encode()
        self.headers = {
            "Content-Type": "text/html; charset=utf-8",
            "Content-Security-Policy": self.policy(),
        }


def _handler(shop: Shop) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the name that http.server calls
            shop.asked.append(dict(self.headers.items()))
            usual = (shop.status, shop.headers, shop.page)
            status, headers, body = shop.others.get(self.path, usual)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args: object) -> None:
            pass

    return Handler


class _Quiet(WSGIRequestHandler):
    def log(self, *_args: object, **_named: object) -> None:
        pass


@contextmanager
def serving_scripts(static: Path) -> Iterator[str]:
    """Serve the released files of the folder *static* as the proxy does; yield the address."""
    app = Flask(__name__)
    signer = Signer(Ed25519PrivateKey.generate(), "optout-proxy:test")
    app.register_blueprint(blueprint(released(static), signer))
    app.register_error_handler(Problem, lambda problem: (problem.code, problem.status))
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Quiet)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def opened(home: Home, proxy: str) -> Iterator[Shop]:
    """Open a shop whose proxy is at *proxy*, with a good page."""
    shop = Shop(home, proxy)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(shop))
    shop.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    shop.configure()
    shop.show()
    try:
        yield shop
    finally:
        server.shutdown()
        server.server_close()
