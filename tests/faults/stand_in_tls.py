"""An insurer behind TLS, whose certificate can be changed while it runs."""

import socket
import ssl
from contextlib import suppress

from tests.upstream.raw_server import RawServer, reply

_PLAIN = reply(400, b"plain HTTP here", Content_Type="text/plain")


class TlsInsurer(RawServer):
    """Takes every report; without a context it speaks plain HTTP where TLS is expected."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        super().__init__(reply(204), tls=context)
        self.url = f"https://127.0.0.1:{self.port}"
        self.overheard = bytearray()  # what came in before it was known who we are

    def present(self, context: ssl.SSLContext) -> None:
        """Use another certificate for connections from now on."""
        self._tls = context

    def _serve(self, sock: socket.socket) -> None:
        if self._tls is not None:
            super()._serve(sock)
            return
        with suppress(OSError), sock:
            self.overheard += sock.recv(65_536)
            sock.sendall(_PLAIN)
