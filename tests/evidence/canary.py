"""Canaries: a customer whose every word can be found again, in whatever spelling it is written."""

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote, quote_plus


def customer(mark: str) -> dict[str, str]:
    """Return ten strings with *mark*, six letters, and all that spellings differ in."""
    return {
        "first_name": f'Zoë "{mark}" O\u2019Brien',
        "last_name": f"Ångström/{mark} & Söhne",
        "country": "NZ",  # two letters: nothing to search for
        "email": f"{mark}+o'brien/tickets@mail.example.com",
        "phone": f"+64 (9) {digits(mark)}/17",
        "address1": f"1 {mark} Straße",
        "address2": f"{mark}\\Hinterhof 漢字",
        "city": f"São {mark}",
        "region": f"{mark} <Östlich>",
        "postcode": f"{mark}=1%",
    }


def digits(mark: str) -> str:
    """Return as many digits as *mark* has letters, made of it."""
    return "".join(str(ord(letter) % 10) for letter in mark)


def metadata(mark: str) -> dict[str, str]:
    """Return what a shop should not, but may, say about the customer beside the product."""
    return {"product": "event-ticket", "guest": f"Zoë/{mark} meta", "note": f'"{mark}" meta'}


def texts(values: Mapping[str, str]) -> list[str]:
    """Return what to search for: the values that are long enough to be nobody else's."""
    return [value for name, value in values.items() if name not in ("country", "product")]


def spellings(text: str) -> dict[str, bytes]:
    """Return how *text* may stand in a file; of base64 what does not depend on its neighbours."""
    plain = text.encode()
    escaped = json.dumps(text)[1:-1]
    spelt = {
        "plain": plain,
        "latin": text.encode("latin-1", "replace"),
        "utf-16": text.encode("utf-16-le"),
        "json": escaped.encode(),
        "json, not ascii": json.dumps(text, ensure_ascii=False)[1:-1].encode(),
        "json, slashes": escaped.replace("/", "\\/").encode(),
        "json in json": json.dumps(escaped)[1:-1].encode(),
        "sql": text.replace("'", "''").encode(),
        "url": quote(text, safe="").encode(),
        "path": quote(text).encode(),
        "form": quote_plus(text).encode(),
        "hex": plain.hex().encode(),
    }
    for offset in range(3):
        coded = base64.b64encode(b"\0" * offset + plain)
        inner = coded[(offset * 8 + 5) // 6 : (offset + len(plain)) * 8 // 6]
        spelt[f"base64, {offset} before"] = inner
        spelt[f"base64url, {offset} before"] = inner.replace(b"+", b"-").replace(b"/", b"_")
    return spelt


def found(content: bytes, searched: Iterable[str]) -> set[tuple[str, str]]:
    """Return which of *searched* stand in *content*, each with its spelling."""
    return {
        (text, name)
        for text in searched
        for name, spelt in spellings(text).items()
        if spelt in content
    }


def left(folder: Path, searched: Iterable[str]) -> set[tuple[str, str, str]]:
    """Return where any of *searched* stands below *folder*: text, spelling, file."""
    wanted = list(searched)
    return {
        (text, name, str(path.relative_to(folder)))
        for path, content in files(folder)
        for text, name in found(content, wanted)
    }


def files(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """Yield every file below *folder* with its content; a socket has a name only."""
    for path in sorted(folder.rglob("*")):
        with suppress(FileNotFoundError):  # a server's own file, gone meanwhile
            if path.is_file():
                yield path, path.read_bytes()
