"""Files that commands write: never over another one, never open to other users."""

from pathlib import Path

from proxy.cli.options import Refusal
from proxy.durable import write_new


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
        write_new(path, f"{text}\n".encode())
    except FileExistsError:
        raise Refusal(f"{path} exists already; nothing is ever written over it.") from None
    except OSError as error:
        raise Refusal(f"{path} can not be written ({_reason(error)}).") from None
    return path


def _reason(error: OSError) -> str:
    return (error.strerror or "unknown reason").lower()
