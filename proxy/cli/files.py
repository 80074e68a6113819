"""Files that commands write: never over another one, never open to other users."""

import os
from pathlib import Path

from proxy.cli.options import Refusal


def folder_for_secrets(folder: Path) -> Path:
    """Make *folder*, mode 0700, if it is not there; return it."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Refusal(f"{folder} can not be made ({_reason(error)}).") from None
    return folder


def write_secret(path: Path, text: str) -> Path:
    """Write *text* and a newline to a new file, mode 0600; refuse if there is one already."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise Refusal(f"{path} exists already; nothing is ever written over it.") from None
    except OSError as error:
        raise Refusal(f"{path} can not be written ({_reason(error)}).") from None
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text + "\n")
    return path


def _reason(error: OSError) -> str:
    return (error.strerror or "unknown reason").lower()
