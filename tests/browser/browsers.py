"""Open a browser of any engine, driven, on a display of its own."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.browser import bidi, driven
from tests.browser.engines import CHROMIUM, FIREFOX, WEBKIT, Engine
from tests.browser.window import Window

_OPEN: dict[Engine, Callable[[Path], Window]] = {
    CHROMIUM: driven.chromium,
    FIREFOX: bidi.Firefox,
    WEBKIT: driven.webkit,
}


@contextmanager
def opened(engine: Engine, profile: Path) -> Iterator[Window]:
    """A browser with *profile*, an empty folder; it ends with the block."""
    window = _OPEN[engine](profile)
    try:
        yield window
    finally:
        window.quit()


@contextmanager
def display() -> Iterator[None]:
    """A display where there is none; WebKitGTK hangs without one."""
    if os.environ.get("DISPLAY"):
        yield
        return
    reading, writing = os.pipe()
    program = shutil.which("Xvfb") or "Xvfb"
    command = [program, "-displayfd", str(writing), "-screen", "0", "1000x700x24"]
    server = subprocess.Popen(
        [*command, "-nolisten", "tcp"], pass_fds=[writing], stderr=subprocess.DEVNULL
    )
    os.close(writing)
    with os.fdopen(reading) as number:
        os.environ["DISPLAY"] = f":{number.readline().strip()}"
    try:
        yield
    finally:
        del os.environ["DISPLAY"]
        server.terminate()
        server.wait()
