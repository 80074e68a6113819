"""What is built is told by its commit: its name, and its time for all that carries one."""

import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def seconds() -> int:
    """Return SOURCE_DATE_EPOCH, or the commit's time where it is not set (Unix seconds)."""
    given = os.environ.get("SOURCE_DATE_EPOCH") or _git("log", "-1", "--format=%ct")
    if not given:
        raise SystemExit("This is no checkout: set SOURCE_DATE_EPOCH to the time of the commit.")
    return int(given)


def day() -> str:
    """Return the UTC day of the commit."""
    return datetime.fromtimestamp(seconds(), UTC).date().isoformat()


def name() -> str:
    """Return the commit that is checked out, and whether files were changed since."""
    commit = os.environ.get("GITHUB_SHA") or _git("rev-parse", "HEAD")
    changed = _git("status", "--porcelain", "--untracked-files=no")
    return (commit or "unknown: not built from a checkout") + (" with changes" if changed else "")


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, check=False, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else ""
