"""A host that nobody should talk to: what a redirect points at."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

_TELLING = ("authorization", "x-api-key", "x-idempotency-key", "cookie")


class Stranger:
    """Listens, answers 204 to everything, and remembers which credentials it was shown."""

    def __init__(self) -> None:
        seen: list[dict[str, Any]] = []

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                """Write the request down and say yes."""
                shown = [name for name in _TELLING if self.headers.get(name)]
                seen.append({"method": self.command, "path": self.path, "credentials": shown})
                self.send_response(204)
                self.end_headers()

            do_GET = do_POST = do_PUT = answer  # noqa: N815  # the names that the server looks for

            def log_message(self, *_: object) -> None:
                """Keep quiet."""

        self.seen = seen
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
