"""The bare server: the same gunicorn, the same request, the token verified, nothing stored."""

import json
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from flask import Flask, Response, request

from bench.threaded import Threaded
from proxy.settings import load
from proxy.tokens import Keyring


class Bare(Threaded):
    """One view."""

    def __init__(self, config: Path, port: int, processes: int) -> None:
        self._settings = load(config, {})
        super().__init__(port=port, processes=processes, threads=self._settings.threads)

    def load(self) -> Flask:
        """Return an application that believes everything and keeps nothing."""
        keyring = Keyring.from_settings(self._settings)
        app = Flask("bare")

        @app.get("/healthz")
        def healthz() -> str:
            return "ok"

        @app.post("/v1/choices")
        def choices() -> tuple[Response, int]:
            form = parse_qs(request.get_data().decode())
            session = keyring.verify(form["token"][0], int(time.time()))
            answer: dict[str, Any] = {"id": form["id"][0], "offer": session.offer}
            return Response(json.dumps(answer), mimetype="application/json"), 202

        return app


if __name__ == "__main__":
    Bare(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])).run()
