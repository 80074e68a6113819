"""Two small servers: a proxy that writes down what arrives, and a shop that shows pages."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl

from tests.browser import traps

SCRIPT = Path(__file__).resolve().parents[2] / "static" / "choice.min.js"
PATIENCE = 45.0  # seconds until something that should arrive is missing
QUIET = 0.2  # seconds after which nothing more is expected


@dataclass(frozen=True)
class Answer:
    """What the proxy says to one request."""

    status: int = 202
    retry_after: str | None = None
    hang: bool = False  # say nothing until the proxy stops


@dataclass(frozen=True)
class Received:
    """One request, as it arrived."""

    method: str
    path: str
    headers: Message
    body: str
    at: float = field(default_factory=time.monotonic)

    @property
    def form(self) -> dict[str, str]:
        """The fields, each of which must occur once."""
        pairs = parse_qsl(self.body, keep_blank_values=True, strict_parsing=True)
        assert len(dict(pairs)) == len(pairs)
        return dict(pairs)


class _Threads(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # browsers connect ahead of their requests, several at once


class Server:
    """A server in a thread, on a free port that it keeps when it is stopped and started again."""

    def __init__(
        self, handle: Callable[[BaseHTTPRequestHandler], None], host: str = "127.0.0.1"
    ) -> None:
        class Handler(BaseHTTPRequestHandler):
            def handle_one_request(self) -> None:
                self.raw_requestline = self.rfile.readline(65537)
                if not self.raw_requestline or not self.parse_request():
                    self.close_connection = True
                    return
                self.close_connection = True
                handle(self)

        self._handler = Handler
        self._host = host
        self._port = 0
        self.start()

    @property
    def origin(self) -> str:
        """The address, without a slash at its end."""
        return f"http://{self._host}:{self._port}"

    def start(self) -> None:
        """Accept connections."""
        self._server = _Threads((self._host, self._port), self._handler)
        self._port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def stop(self) -> None:
        """Refuse connections."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Proxy:
    """Answers 202 unless told otherwise, and writes down every request in order."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.fetched: list[str] = []  # paths of scripts
        self.answers: list[Answer] = []  # for the next requests; then 202
        self._over = threading.Event()
        self._server = Server(self._handle)
        self.origin = self._server.origin
        self.script = f"{self.origin}/s/1.0.0/choice.js"
        self.stop, self.start = self._server.stop, self._server.start

    def close(self) -> None:
        """Let go of whoever hangs, and stop."""
        self._over.set()
        self.stop()

    def _handle(self, request: BaseHTTPRequestHandler) -> None:
        if request.command == "GET":
            self.fetched.append(request.path)
            _reply(request, 200, SCRIPT.read_bytes(), {"Content-Type": "text/javascript"})
            return
        length = int(request.headers["Content-Length"] or 0)
        body = request.rfile.read(length).decode()
        self.received.append(Received(request.command, request.path, request.headers, body))
        said = request.command == "POST" and "choice=undecided" not in body
        answer = self.answers.pop(0) if said and self.answers else Answer()
        if answer.hang:
            self._over.wait()
            return
        headers = {"Retry-After": answer.retry_after} if answer.retry_after else {}
        _reply(request, answer.status, b"{}", headers)

    @property
    def said(self) -> list[dict[str, str]]:
        """The forms that arrived, in the order of the page's clock.

        Those which only say that an offer was shown are left out.
        """
        forms = [received.form for received in self.received]
        answers = [form for form in forms if form.get("choice") != "undecided"]
        return sorted(answers, key=lambda form: int(form["seq"]))

    @property
    def choices(self) -> list[str]:
        """The answers among them."""
        return [form["choice"] for form in self.said if "choice" in form]

    def wait_for(self, count: int = 1) -> list[dict[str, str]]:
        """Wait until *count* answers or purchases have arrived; return all there are by then."""
        return self.wait_until(lambda: len(self.said) >= count)

    def wait_until(self, reached: Callable[[], bool]) -> list[dict[str, str]]:
        """Wait until *reached*, and a little longer for what should not come."""
        end = time.monotonic() + PATIENCE
        while not reached() and time.monotonic() < end:
            time.sleep(0.01)
        time.sleep(QUIET)
        return self.said


class Shop:
    """Serves pages from memory, on an origin that no other shop of the run has had.

    Ports come again, and with them what a browser has stored: it is the host that is new.
    """

    _hosts = (f"127.{a}.{b}.{c}" for a in range(1, 255) for b in range(255) for c in range(1, 255))

    def __init__(self, *, trapped: bool = False) -> None:
        self.trapped = trapped
        self.asked: list[str] = []  # the paths, in order
        self.caught: list[str] = []  # what the snippet read on trapped pages and does not need
        self.pages: dict[str, tuple[str, dict[str, str]]] = {}
        self._server = Server(self._handle, next(self._hosts))
        self.origin = self._server.origin
        self.close = self._server.stop

    def page(self, body: str, path: str = "/", **headers: str) -> str:
        """Show *body* at *path*, with *headers* (an underscore is a hyphen); return its address."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        first = traps.script() if self.trapped else ""
        self.pages[path] = (f"<!doctype html><title>Shop</title>{first}{body}", named)
        return self.origin + path

    def _handle(self, request: BaseHTTPRequestHandler) -> None:
        path = request.path.partition("?")[0]
        self.asked.append(path)
        if request.command == "POST":
            sent = request.rfile.read(int(request.headers["Content-Length"] or 0))
            if path == "/caught":
                self.caught.append(sent.decode())
        body, headers = self.pages.get(path, ("<!doctype html><p>Next", {}))
        _reply(request, 200, body.encode(), {"Content-Type": "text/html; charset=utf-8"} | headers)


def _reply(
    request: BaseHTTPRequestHandler, status: int, body: bytes, headers: dict[str, str]
) -> None:
    request.send_response_only(status)
    for name, value in headers.items():
        request.send_header(name, value)
    request.send_header("Access-Control-Allow-Origin", request.headers["Origin"] or "*")
    request.send_header("Access-Control-Expose-Headers", "Retry-After")
    request.send_header("Content-Length", str(len(body)))
    request.send_header("Connection", "close")
    request.end_headers()
    request.wfile.write(body)
