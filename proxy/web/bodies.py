"""What a request says about its body, judged before a byte of it is read."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from proxy.errors import Problem

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
LINES = frozenset({"application/x-ndjson", "application/jsonl", JSON})

PAGE_BYTES = 4_096
SERVER_BYTES = 16_384
BATCH_BYTES = 1_048_576

_LENGTH = re.compile(r"[0-9]{1,18}", re.ASCII)
_MEDIA = re.compile(
    r"[ \t]*([a-z0-9.+-]+/[a-z0-9.+-]+)[ \t]*(?:;[ \t]*charset=(?:utf-8|\"utf-8\")[ \t]*)?",
    re.ASCII | re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Body:
    """A body that may be read: of a media type that the call takes, as long as it says."""

    media: str
    length: int

    def within(self, most: int) -> int:
        """Return the length; raise Problem(body_too_large) if it is more than *most* bytes."""
        if self.length > most:
            raise Problem("body_too_large")
        return self.length


def announced(environ: dict[str, Any], accepted: frozenset[str]) -> Body:
    """Return the body that the headers announce: framing first, then media type, then coding."""
    length = _length(environ)
    media = _media(environ.get("CONTENT_TYPE", ""))
    if media is None or media not in accepted:
        raise Problem("unsupported_media_type")
    if "HTTP_CONTENT_ENCODING" in environ:
        raise Problem("unsupported_content_encoding")
    return Body(media, length)


def _length(environ: dict[str, Any]) -> int:
    text = environ.get("CONTENT_LENGTH") or ""
    if "HTTP_TRANSFER_ENCODING" in environ or not _LENGTH.fullmatch(text):
        raise Problem("length_required")
    return int(text)


@lru_cache(maxsize=64)
def _media(header: str) -> str | None:
    """Return the media type, unless *header* has any parameter but `charset=utf-8`."""
    match = _MEDIA.fullmatch(header)
    return match[1].lower() if match else None
