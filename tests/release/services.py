"""Stand-ins for OSV and the npm registry on a real socket: they know what a test tells them."""

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Services:
    """What is known of which package, and where it is asked."""

    url: str = ""
    osv: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    npm: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    away: bool = False
    asked: list[Any] = field(default_factory=list)

    def answer(self, path: str, question: Any) -> tuple[int, Any]:
        """Return status and body for a question that was posted."""
        if self.away:
            return 503, {}
        self.asked.append(question)
        if path.endswith("/v1/query"):
            return 200, {"vulns": self.osv.get(question["package"]["name"], [])}
        if path.endswith("/advisories/bulk"):
            return 200, {name: self.npm[name] for name in question if name in self.npm}
        return 404, {}


def _handler(services: Services) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # the name that http.server calls
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            status, answer = services.answer(self.path, json.loads(body))
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_GET(self) -> None:  # the same
            self.send_error(404)

        def log_message(self, *_args: object) -> None:
            pass

    return Handler


@contextmanager
def standing_in() -> Iterator[Services]:
    """Answer as the services would, until the end of the block."""
    services = Services()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(services))
    services.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield services
    finally:
        server.shutdown()
        server.server_close()
