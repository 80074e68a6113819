"""What a web origin is, byte for byte as browsers send it. Knows no partner and no list."""

import re

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST = rf"{_LABEL}(?:\.{_LABEL}){{0,125}}|\[[0-9a-f:.]{{2,45}}\]"
_LOOPBACK = r"localhost|127(?:\.[0-9]{1,3}){3}|\[::1\]"
_ORIGIN = re.compile(
    rf"\A(?=.{{8,280}}\Z)(?:https://(?:{_HOST})|http://(?:{_LOOPBACK}))(?::[1-9][0-9]{{0,4}})?\Z"
)


def is_origin(text: str) -> bool:
    """Tell whether *text* is `https://host[:port]` in lower case; `http` is for loopback hosts."""
    return _ORIGIN.match(text) is not None
