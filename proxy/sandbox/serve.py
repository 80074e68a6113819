"""A sandbox that listens: inside a test, or as a process of its own."""

import random
import signal
import ssl
from collections.abc import Callable
from threading import Event, Thread
from typing import Any, Self

from proxy.sandbox import control
from proxy.sandbox.app import Exchange, Upstream, now_ms
from proxy.sandbox.faults import rule_from
from proxy.sandbox.listener import Listener
from proxy.sandbox.options import SandboxOptions
from proxy.sandbox.wire import Request


class Sandbox:
    """The insurer on a port of this machine; what it knows outlives `stop` and a new `start`."""

    def __init__(
        self,
        options: SandboxOptions | None = None,
        *,
        clock: Callable[[], int] = now_ms,
        dice: Callable[[], float] = random.random,
    ) -> None:
        self.options = options or SandboxOptions()
        self.url = ""  # without a final slash; empty until started
        self._stopping = Event()
        self._upstream = Upstream(self.options, clock=clock, pause=self._stopping.wait, dice=dice)
        self._listener: Listener | None = None
        self._thread: Thread | None = None

    @property
    def xcover_url(self) -> str:
        """The base URL of the HMAC APIs."""
        return self.url + self.options.prefix

    @property
    def xone_url(self) -> str:
        """The base URL of the OAuth APIs."""
        return self.url

    def start(
        self, host: str = "127.0.0.1", port: int = 0, *, tls: ssl.SSLContext | None = None
    ) -> Self:
        """Listen and return at once; port 0 takes a free one. OSError if the port is taken."""
        self._stopping.clear()
        listener = Listener(
            (host, port),
            receive=self._receive,
            clock=self._upstream.clock,
            stopping=self._stopping,
        )
        if tls is not None:
            listener.socket = tls.wrap_socket(
                listener.socket, server_side=True, do_handshake_on_connect=False
            )
        name = f"[{host}]" if ":" in host else host
        self.url = f"{'http' if tls is None else 'https'}://{name}:{listener.server_address[1]}"
        self._thread = Thread(target=listener.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        self._listener = listener
        return self

    def stop(self) -> None:
        """Stop listening and cut every connection; harmless when it is not running."""
        listener, thread = self._listener, self._thread
        if listener is None or thread is None:
            return
        self._stopping.set()
        listener.shutdown()
        thread.join()
        listener.server_close()
        listener.cut()
        self._listener = self._thread = None

    def __enter__(self) -> Self:
        return self if self._listener else self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _receive(self, request: Request) -> Exchange:
        if request.path == control.PREFIX or request.path.startswith(f"{control.PREFIX}/"):
            return Exchange(answer=control.answer(self._upstream, request), rule=None)
        return self._upstream.receive(request)

    def requests(self, *, offer: str | None = None, after: int = 0) -> list[dict[str, Any]]:
        """Return what came in, as `GET /_sandbox/requests` does."""
        return self._upstream.ledger.requests(offer=offer, after=after)

    def effects(self) -> dict[str, int]:
        """Return how many distinct idempotency keys had an effect, by offer."""
        return self._upstream.ledger.effects()

    def bookings(self) -> list[str]:
        """Return the ids of what was booked: a decline must never get there."""
        return self._upstream.desk.packages.confirmed()

    def wait(self, count: int, *, offer: str | None = None, timeout: float = 10.0) -> bool:
        """Wait until *count* requests (for *offer*) ended; return False after *timeout* s."""
        return self._upstream.ledger.wait(count, offer=offer, timeout=timeout)

    def fault(self, fault: str, **rule: Any) -> None:
        """Add one rule: `match`'s keys (api, offer, path_prefix) and all others by name."""
        named = {name: rule.pop(name, None) for name in ("api", "offer", "path_prefix")}
        match = {name: value for name, value in named.items() if value is not None}
        self._upstream.script.add(rule_from({"fault": fault, "match": match, **rule}))

    def clear_faults(self) -> None:
        """Forget all rules."""
        self._upstream.script.clear()

    def reset(self) -> None:
        """Forget what came in, its effects, keys and faults; access tokens stay valid."""
        self._upstream.clear()


def run(options: SandboxOptions, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT; print one line with the URL when ready. Main thread only."""
    ends = {signal.SIGTERM, signal.SIGINT}
    # Waited for, not handled: a handler could meet itself. Children must not inherit the mask.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    try:
        with Sandbox(options).start(host, port) as sandbox:
            print(f"sandbox ready: {sandbox.url}", flush=True)  # noqa: T201  # the promised line
            signal.sigwait(ends)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
