"""The socket of whoever calls. Knows what was taken off it, and spares the kernel."""

import select
import socket
import struct

_INFO = getattr(socket, "TCP_INFO", None)  # Linux alone says how many bytes have come
_SPAN = struct.Struct("ll")  # `struct timeval`
_MOST = 8192  # bytes that are read at once, as the server does
_RECEIVED = struct.Struct("=128xQ")  # `tcpi_bytes_received` of its `struct tcp_info`


class Peer(socket.socket):
    """A socket that asks the kernel for nothing that it does already.

    Each call of the kernel lets go of the interpreter, and among busy threads whoever let go of it
    stands in a queue for it.
    """

    _is_asked = False  # whether a thread asks it for bytes
    _taken = 0  # bytes that a thread has in its hands
    _wait_ms = 0  # that the kernel lets a call wait; 0: as long as it takes

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Return what has come, as any socket does, and count it."""
        self._let_wait(0)
        return self._recv(size, flags)

    def _recv(self, size: int, flags: int = 0) -> bytes:
        self._is_asked = True
        try:
            content = super().recv(size, flags)
        finally:
            self._is_asked = False
        self._taken += len(content)
        return content

    def soon(self, wait_ms: int) -> bytes | None:
        """Return what comes within *wait_ms*; None where nothing does.

        The kernel keeps the time, so that this is one call and not two.
        """
        self._let_wait(wait_ms)
        try:
            return self._recv(_MOST)
        except BlockingIOError:
            return None

    def _let_wait(self, wait_ms: int) -> None:
        if wait_ms != self._wait_ms:
            self._wait_ms = wait_ms
            span = _SPAN.pack(wait_ms // 1000, wait_ms % 1000 * 1000)
            self.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, span)

    def setblocking(self, flag: bool) -> None:  # noqa: FBT001  # Python's own
        """Let calls wait, or not."""
        if flag != self.getblocking():
            super().setblocking(flag)

    def settimeout(self, value: float | None) -> None:
        """Let calls wait for so many seconds."""
        if value != self.gettimeout():
            super().settimeout(value)

    def owes(self) -> bool:
        """Tell whether a thread waits for bytes that have not come.

        That they have come is not enough to see: whoever took them may wait for the interpreter.
        """
        if _INFO is None:
            return not is_ready(self, select.POLLIN)
        (received,) = _RECEIVED.unpack(self.getsockopt(socket.IPPROTO_TCP, _INFO, _RECEIVED.size))
        return self._is_asked and int(received) == self._taken and not is_ready(self, select.POLLIN)


def is_ready(peer: socket.socket, event: int) -> bool:
    """Tell whether *event*, as `poll` calls it, is there."""
    poll = select.poll()
    poll.register(peer, event)
    return bool(poll.poll(0))
