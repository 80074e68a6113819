"""The export: one line per offer without personal data, and a signature that a third party checks.

The signature is a JSON web signature (RFC 7515, flattened; EdDSA of RFC 8037) over the file's
SHA-256, so that any library for it can verify an export without this program.
"""

import base64
import csv
import hashlib
import json
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from sqlalchemy import Connection, RowMapping, select

from proxy.clocks import time_of
from proxy.durable import sync_folder
from proxy.funnel import Wanted
from proxy.ledger import Ledger
from proxy.schema import offers

FORMATS = ("csv", "jsonl")
COLUMNS = (
    "offer",
    "upstream",
    "partner",
    "choice",
    "seq",
    "chosen_at",
    "report",
    "epoch",
    "attempts",
    "purchased",
    "order_hash",
    "conflict",
    "implicit",
    "late",
    "reconciled",
    "product",
    "created_at",
    "updated_at",
    "facts",
    "digest",
)
ORDER = "order"  # a column only where orders are asked for

_TYPE = "optout-export+json"
_PAGE = 2_000  # rows read at once
_CHUNK = 1 << 20
_MOST_SIGNATURE = 1 << 20
_ASKED = select(
    *(offers.c[name] for name in ("id", *COLUMNS) if name not in ("order_hash", "conflict")),
    offers.c.order_reference,
    offers.c.conflicts,
)

Progress = Callable[[int], None]
Keys = Mapping[str, Ed25519PublicKey]


class Unverified(ValueError):
    """The export, its signature or its key is not what was signed; the sentence says which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What was put into a file."""

    size: int  # bytes
    lines: int
    sha256: str


def rows(
    connection: Connection,
    wanted: Wanted,
    ledger: Ledger,
    *,
    orders: bool = False,
    progress: Progress = lambda _offers: None,
) -> Iterator[dict[str, Any]]:
    """Yield one row per offer, oldest record first; *progress* counts them.

    *connection* must see one moment (`Database.snapshot`). An order's reference is in the row only
    if *orders* says so; its keyed hash, the one that the facts hold, always is.
    """
    last = 0
    while True:
        query = _ASKED.where(*wanted.offers, offers.c.id > last).order_by(offers.c.id).limit(_PAGE)
        page = connection.execute(query).mappings().all()
        if not page:
            return
        for row in page:
            yield _row(row, ledger, orders=orders)
        last = page[-1]["id"]
        progress(len(page))


def encode(
    found: Iterable[Mapping[str, Any]], columns: Iterable[str], kind: str
) -> Iterator[bytes]:
    """Yield each row as one line of CSV, under a line of names, or of JSON.

    A text that a spreadsheet would take for a formula begins with an apostrophe in CSV, and a
    control character is a space there; JSON has every text as it is.
    """
    names = list(columns)
    if kind == "csv":
        yield _csv_line(names)
        yield from (_csv_line([row[name] for name in names]) for row in found)
        return
    for row in found:
        yield (
            json.dumps({name: row[name] for name in names}, separators=(",", ":")).encode() + b"\n"
        )


def write(path: Path, lines: Iterable[bytes]) -> Written:
    """Write *lines* to a new file, mode 0600, as they come; it is there whole or empty.

    Raises FileExistsError if there is one already: nothing is ever written over it.
    """
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))  # the name is ours now
    unnamed = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        written = _fill(unnamed, lines)
        unnamed.replace(path)
    except BaseException:
        unnamed.unlink(missing_ok=True)
        path.unlink()
        raise
    sync_folder(path.parent)
    return written


def sign(statement: Mapping[str, Any], key: Ed25519PrivateKey, kid: str) -> bytes:
    """Return the content of the signature's file: *statement* to read, and signed."""
    protected = _b64(json.dumps({"alg": "EdDSA", "kid": kid, "typ": _TYPE}).encode())
    payload = _b64(json.dumps(statement, sort_keys=True).encode())
    signature = _b64(key.sign(f"{protected}.{payload}".encode()))
    content = {
        "statement": statement,
        "protected": protected,
        "payload": payload,
        "signature": signature,
    }
    return json.dumps(content, indent=2).encode() + b"\n"


def signature_of(file: Path) -> Path:
    """Return where the signature of *file* lies."""
    return file.with_name(f"{file.name}.sig.json")


def read_keys(text: str) -> Keys:
    """Return the Ed25519 keys of a JWK set by id; ValueError if it is none."""
    try:
        entries = json.loads(text)["keys"]
        return {
            entry["kid"]: Ed25519PublicKey.from_public_bytes(_unb64(entry["x"]))
            for entry in entries
            if (entry.get("kty"), entry.get("crv")) == ("OKP", "Ed25519")
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ValueError("that is not a JSON web key set with Ed25519 keys") from None


def verify(file: Path, keys: Keys) -> dict[str, Any]:
    """Return the statement under which *file* was signed; Unverified with the reason if not."""
    statement = _signed(_read_signature(signature_of(file)), keys)
    found = file.stat().st_size
    size, sha256, lines = statement["bytes"], statement["sha256"], statement["lines"]
    if found < size:
        raise Unverified(
            f"{file.name} has {found:,} bytes, {size:,} were signed: "
            f"{'it is empty' if not found else 'something is cut off'}."
        )
    if found > size:
        raise Unverified(f"{file.name} has {found:,} bytes, {size:,} were signed: it has grown.")
    read = _measure(file)
    if read.sha256 != sha256:
        raise Unverified(f"{file.name} is not what was signed: its SHA-256 is {read.sha256}.")
    if read.lines != lines:
        raise Unverified(f"{file.name} has {read.lines:,} lines, the statement says {lines:,}.")
    return statement


def _row(row: RowMapping, ledger: Ledger, *, orders: bool) -> dict[str, Any]:
    values = {name: row[name] for name in COLUMNS if name in row}
    values["order_hash"] = ledger.hash_of_order(row["order_reference"])
    values["conflict"] = row["conflicts"] or None
    values["digest"] = row["digest"].hex() if row["digest"] else None
    for name in ("chosen_at", "created_at", "updated_at"):
        values[name] = time_of(row[name])
    return values | ({ORDER: row["order_reference"]} if orders else {})


def _csv_line(values: Iterable[Any]) -> bytes:
    line = StringIO()
    csv.writer(line, lineterminator="\n").writerow([_cell(value) for value in values])
    return line.getvalue().encode()


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        return value
    text = "".join(char if char.isprintable() else " " for char in value)
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def _fill(path: Path, lines: Iterable[bytes]) -> Written:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        written = _tally(_through(lines, file.write))
        file.flush()
        os.fsync(file.fileno())
    return written


def _through(chunks: Iterable[bytes], sink: Callable[[bytes], object]) -> Iterator[bytes]:
    for chunk in chunks:
        sink(chunk)
        yield chunk


def _measure(file: Path) -> Written:
    with file.open("rb") as content:
        return _tally(iter(lambda: content.read(_CHUNK), b""))


def _tally(chunks: Iterable[bytes]) -> Written:
    size = lines = 0
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
        size += len(chunk)
        lines += chunk.count(b"\n")
    return Written(size=size, lines=lines, sha256=digest.hexdigest())


def _read_signature(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            content = json.loads(file.read(_MOST_SIGNATURE))
    except FileNotFoundError:
        raise Unverified(f"{path.name} is not there; an export is worth its signature.") from None
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise Unverified(f"{path.name} is not the signature of an export.")
    return content


def _signed(content: Mapping[str, Any], keys: Keys) -> dict[str, Any]:
    """Return the statement in *content* if one of *keys* has signed it."""
    try:
        protected, payload = content["protected"], content["payload"]
        header = json.loads(_unb64(protected))
        told = (header["alg"], header["typ"])
        kid, signature = str(header["kid"]), _unb64(content["signature"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise Unverified("The signature's file is not one of an export, or was damaged.") from None
    if told != ("EdDSA", _TYPE):
        raise Unverified("What is signed there is not an export.")
    if kid not in keys:
        known = ", ".join(keys) or "none"
        raise Unverified(f"It was signed with the key {kid}; the keys given are: {known}.")
    try:
        keys[kid].verify(signature, f"{protected}.{payload}".encode())
    except InvalidSignature:
        raise Unverified(
            "The signature is wrong: the statement was changed, or another key has signed it."
        ) from None
    statement: dict[str, Any] = json.loads(_unb64(payload))
    if content.get("statement") != statement:
        raise Unverified("The statement to read is not the one that was signed.")
    return statement


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _unb64(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
