"""Runs that were kept, so that anyone can judge them again."""

import base64
import io
import json
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.faults.judge_run import Record, Run, lines, load

HISTORIES = Path(__file__).with_name("histories")
_FILES = (
    *("run.json", "calls.jsonl", "ledger.jsonl"),
    *("offers.jsonl", "facts.jsonl", "buckets.jsonl"),
)
_WRAPPED = "calls.jsonl"


def keep(folder: Path, archive: Path) -> None:
    """Pack the records in *folder*, as small as they get.

    What a receipt says is unwrapped: base64 hides from the packer that it stands there already.
    """
    archive.parent.mkdir(exist_ok=True)
    with tarfile.open(archive, "w:xz", preset=9) as packed:
        for name in _FILES:
            content = (folder / name).read_bytes()
            if name == _WRAPPED:
                content = _changed(folder / name, _unwrapped)
            member = tarfile.TarInfo(name)  # nothing of who packed it, nor when
            member.size = len(content)
            packed.addfile(member, io.BytesIO(content))


def kept(archive: Path) -> Run:
    """Return the run that was packed."""
    with tempfile.TemporaryDirectory() as name, tarfile.open(archive) as packed:
        folder = Path(name)
        packed.extraction_filter = getattr(tarfile, "data_filter", None)  # from 3.11.4 on
        packed.extractall(folder)  # noqa: S202  # our own archive
        (folder / _WRAPPED).write_bytes(_changed(folder / _WRAPPED, _wrapped))
        return load(folder)


def _changed(file: Path, change: Callable[[str], str]) -> bytes:
    return b"".join(_line(record, change) for record in lines(file))


def _line(record: Record, change: Callable[[str], str]) -> bytes:
    if record["body"] and "receipt" in record["body"]:
        record["body"]["receipt"] = change(record["body"]["receipt"])
    return json.dumps(record, separators=(",", ":")).encode() + b"\n"


def _unwrapped(receipt: str) -> str:
    """Return *receipt* with its payload in the clear; as it is if it is none of ours."""
    payload, _, signature = receipt.rpartition(".")
    try:
        text = base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)).decode()
    except ValueError:
        return receipt
    clear = f"{text} {signature}"
    return clear if _wrapped(clear) == receipt else receipt


def _wrapped(clear: str) -> str:
    text, space, signature = clear.rpartition(" ")
    if not space:
        return clear
    return f"{base64.urlsafe_b64encode(text.encode()).rstrip(b'=').decode()}.{signature}"
