"""A name server for one test: it knows no name, fails, keeps silent, or tells an address.

It listens on an address of 127/8 of its own, since resolvers ask port 53 only; that needs root.
"""

import secrets
import socket
import struct
import threading
import time
from typing import Self

NXDOMAIN, SERVFAIL = 3, 2
_A, _RECURSION = 1, 0x8180  # a record of an address; an answer, recursion desired and available


class NameServer:
    """Answers every question in the way that `mood` says, one after another."""

    def __init__(self, address: str = "127.0.0.1") -> None:
        self.mood: int | None = NXDOMAIN  # a code of refusal, 0 to answer, None to keep silent
        self.delay = 0.0  # seconds
        self.asked: list[str] = []
        self._address = socket.inet_aton(address)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        numbers = ".".join(str(1 + secrets.randbelow(250)) for _ in range(2))
        self.host = f"127.53.{numbers}"
        self._socket.bind((self.host, 53))
        self._thread = threading.Thread(target=self._answer_all, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.sendto(b"", (self.host, 53))  # the last question
        self._thread.join()
        self._socket.close()

    def _answer_all(self) -> None:
        while True:
            question, peer = self._socket.recvfrom(512)
            if not question:
                return
            threading.Thread(target=self._answer, args=(question, peer), daemon=True).start()

    def _answer(self, question: bytes, peer: tuple[str, int]) -> None:
        name, end = _name(question)
        self.asked.append(name)
        mood = self.mood
        time.sleep(self.delay)
        if mood is not None:
            self._socket.sendto(self._reply(question, end, mood), peer)

    def _reply(self, question: bytes, end: int, mood: int) -> bytes:
        """Return the answer to *question*, whose name ends before *end*."""
        (kind,) = struct.unpack_from(">H", question, end)
        record = b""
        if mood == 0 and kind == _A:
            record = b"\xc0\x0c" + struct.pack(">HHIH", _A, 1, 0, 4) + self._address
        counts = struct.pack(">HHHHH", _RECURSION | mood, 1, 1 if record else 0, 0, 0)
        return question[:2] + counts + question[12 : end + 4] + record


def _name(question: bytes) -> tuple[str, int]:
    """Return the name that is asked for, and the position after it."""
    labels, position = [], 12
    while length := question[position]:
        labels.append(question[position + 1 : position + 1 + length].decode("latin-1"))
        position += length + 1
    return ".".join(labels), position + 1
