"""What every peer written in Python answers with: gunicorn as `serve` sets it up, one view."""

import json
import time
from collections.abc import Callable
from urllib.parse import parse_qs

from flask import Flask, Response, request

from bench.peers import place
from bench.threaded import Threaded
from proxy.tokens import Keyring

Decline = dict[str, str]
Accept = Callable[[Decline], None]  # returns when the decline is as safe as the peer can make it
FIELDS = ("choice", "id", "seq", "at")


class Web(Threaded):
    """A gunicorn whose processes each call *connect* for what accepts a decline."""

    def __init__(self, connect: Callable[[], Accept]) -> None:
        self._settings = place.settings()
        self._connect = connect
        threads = self._settings.threads
        super().__init__(port=place.port(), processes=place.processes(), threads=threads)

    def load(self) -> Flask:
        """Return the application; called in every process, after the fork."""
        keyring = Keyring.from_settings(self._settings)
        accept = self._connect()
        app = Flask("peer")

        @app.get("/healthz")
        def healthz() -> str:
            return "ok"

        @app.post("/v1/choices")
        def choices() -> tuple[Response, int]:
            form = parse_qs(request.get_data().decode())
            session = keyring.check(form["token"][0], int(time.time()))
            accept({"offer": str(session.offer), **{name: form[name][0] for name in FIELDS}})
            answer = {"id": form["id"][0], "offer": session.offer}
            return Response(json.dumps(answer), mimetype="application/json"), 202

        return app
