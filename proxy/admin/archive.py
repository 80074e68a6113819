"""The signed export as one ZIP archive, made as it is sent: the file, then its signature."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any, cast
from zipfile import ZIP_DEFLATED, ZipFile

from sqlalchemy import Connection

from proxy import export, funnel, statements
from proxy.admin.parts import Parts
from proxy.errors import ConfigurationError, Problem
from proxy.ledger import Ledger
from proxy.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """What a signed export is made with, and of."""

    settings: Settings
    ledger: Ledger
    key: Any
    kid: str
    wanted: funnel.Wanted
    file: str  # in the archive; it ends with the format

    def pieces(self, connection: Connection) -> Iterator[bytes]:
        """Yield the archive; *connection* must see one moment."""
        kind = self.file.rpartition(".")[2]
        kept = funnel.kept(connection, self.wanted)
        statement = statements.begun(self.settings, kept, kind, orders=False)
        passing, pipe = statements.Passing(), _Pipe()
        with ZipFile(cast(IO[bytes], pipe), "w", ZIP_DEFLATED) as archive:
            with archive.open(self.file, "w", force_zip64=True) as entry:
                yield pipe.taken()
                found = export.rows(connection, kept, self.ledger)
                for line in passing.through(export.encode(found, statement["columns"], kind)):
                    entry.write(line)
                    if data := pipe.taken():
                        yield data
            complete = funnel.completeness(connection, kept, funnel.total(connection, kept))
            statement["period"] = statements.period(kept, funnel.days(connection, kept))
            statement = statements.ended(statement, passing.written, complete) | {"file": self.file}
            archive.writestr(f"{self.file}.sig.json", export.sign(statement, self.key, self.kid))
        yield pipe.taken()


def signing(parts: Parts) -> tuple[Any, str]:
    """Return the signing key and its id; only the one whose public half is published."""
    try:
        key, signer = statements.signer_of(parts.configuration.current)
    except ConfigurationError as error:
        raise Problem("storage_unavailable", str(error)) from None
    if signer.kid != parts.signer.kid:
        raise Problem("storage_unavailable", "the signing key on disk is not the one in use")
    return key, signer.kid


class _Pipe:
    """What a ZipFile writes to: it can not go back, and what it has is taken away at once."""

    def __init__(self) -> None:
        self._held: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._held.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Do nothing: `taken` is what empties it."""

    def taken(self) -> bytes:
        held, self._held = b"".join(self._held), []
        return held
