"""A secret, or the file that holds it. Shows itself to nobody who does not ask for it by name."""

import os
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, Self

from pydantic_core import core_schema

from proxy.errors import ConfigurationError

MOST_BYTES = 65_536  # a longer file is not a secret but a mistake
MASK = "**********"
PLACEHOLDER = "REPLACE-ME"  # what `init` writes where only the insurer knows the text

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_OURS = re.compile(r"(?:ots|osk|whsec)_[\w+/=-]+")
_LONG = re.compile(r"[A-Za-z0-9+/=_-]{20,}")
_RANDOM = re.compile(r"(?=.*[0-9])(?:.*[A-Za-z0-9]{20}|(?=.*[a-z])(?=.*[A-Z]))")
_USER = re.compile(r"(?<=//)[^/\s]*@")


class Secret:
    """A secret text, given as such or by a file that is opened only when it is read."""

    __slots__ = ("_value", "path")

    def __init__(self, value: str | None = None, *, path: Path | None = None) -> None:
        if (value is None) == (path is None):
            raise TypeError("a secret is either a value or a file")
        self._value = value
        self.path = path  # None: the secret was given as a value

    def read(self) -> str:
        """Return the text without its final newline; raise ConfigurationError if it is unfit.

        Unfit is: no such file, one that every user of the machine may read, none or odd text.
        """
        if self.path is None:
            return _text(self._value or "", "A secret")
        raw = _open_and_read(self.path)
        try:
            return _text(raw.decode(), f"The secret file {self.path}")
        except UnicodeDecodeError:
            sentence = f"The secret file {self.path} is not UTF-8 text; write the secret into it."
            raise ConfigurationError(sentence) from None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return (self.path, self._value) == (other.path, other._value)

    def __hash__(self) -> int:
        return hash((self.path, self._value))

    def __repr__(self) -> str:
        return f"Secret({MASK})" if self.path is None else f"Secret(path={str(self.path)!r})"

    def __str__(self) -> str:
        return MASK

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _memo: object) -> Self:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret can not be pickled")

    @classmethod
    def __get_pydantic_core_schema__(
        cls, _source: object, _handler: Callable[[Any], core_schema.CoreSchema]
    ) -> core_schema.CoreSchema:
        """Accept a Secret or a text; write it to JSON as asterisks."""
        return core_schema.no_info_plain_validator_function(
            _accept, serialization=core_schema.plain_serializer_function_ser_schema(str)
        )


def without_secrets(text: str) -> str:
    """Return *text* with asterisks for what may be a secret that was written to a wrong place."""
    text = _OURS.sub(MASK, _USER.sub(f"{MASK}@", text))
    return _LONG.sub(lambda found: MASK if _RANDOM.match(found[0]) else found[0], text)


def _accept(given: object) -> Secret:
    if isinstance(given, Secret):
        return given
    if not isinstance(given, str):
        raise ValueError("must be text in quotes")  # noqa: TRY004 -- pydantic reports ValueError
    return Secret(given)


def _open_and_read(path: Path) -> bytes:
    """Read *path* once its mode is judged: on the open file, so that nothing can be swapped."""
    try:
        with open(path, "rb", opener=_open_at_once) as file:  # Path has no opener
            _judge(path, os.fstat(file.fileno()).st_mode)
            return file.read(MOST_BYTES)
    except FileNotFoundError:
        sentence = f"The secret file {_shown(path)} does not exist; write the secret into it,"
        raise ConfigurationError(f"{sentence} mode 0600.") from None
    except OSError as error:
        reason = (error.strerror or "unknown reason").lower()
        sentence = f"The secret file {_shown(path)} can not be read ({reason}); let this user"
        raise ConfigurationError(f"{sentence} read it.") from None


def _shown(path: Path) -> str:
    """Return *path*; what of it is not there may be the secret itself, in the place of a file."""
    there = next((folder for folder in path.parents if os.path.lexists(folder)), path)
    return str(there / without_secrets(str(path.relative_to(there))))


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # a pipe without a writer would wait for one


def _judge(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        raise ConfigurationError(f"{path} is not a file; put the secret into a regular file.")
    if mode & stat.S_IRWXO:
        raise ConfigurationError(
            f"The secret file {path} is open to every user of this machine; run `chmod 600 {path}`."
        )


def _text(text: str, subject: str) -> str:
    """Return *text* without its final newline, if one line with something on it is left."""
    text = text.removesuffix("\n").removesuffix("\r")
    if not text.strip():
        raise ConfigurationError(f"{subject} is empty; write the secret into it.")
    if _CONTROL.search(text):
        raise ConfigurationError(f"{subject} has more than one line, or control characters in it.")
    return text
