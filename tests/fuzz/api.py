"""Schemathesis against a running `serve`: every check it has, and two of our own."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

from tests.fuzz.deployment import Fuzzed

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "openapi.yaml"
CONFIG = Path(__file__).parent / "schemathesis.toml"


def fuzz(proxy: Fuzzed, *options: str) -> tuple[int, str, Counter[str]]:
    """Return the exit status, what was said, and how often each call had each status."""
    tally = proxy.folder / "tally.json"
    report = proxy.folder / "schemathesis.log"
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG)]
    with report.open("wb") as log:
        run = subprocess.run(
            [*command, "run", str(DOCUMENT), "--url", proxy.url, "--no-color", *options],
            stdout=log,
            stderr=log,
            env=os.environ
            | {
                "SCHEMATHESIS_HOOKS": "tests.fuzz.hooks",
                "PYTHONPATH": str(ROOT),
                "FUZZ_DEPLOYMENT": proxy.handed_over(),
                "FUZZ_SERVER_KEY": proxy.server_key,
                "FUZZ_DICE": " ".join(options),
                "FUZZ_TALLY": str(tally),
            },
            cwd=proxy.folder,
            check=False,
        )
    counted: Counter[str] = Counter(json.loads(tally.read_text()) if tally.exists() else {})
    return run.returncode, report.read_text(), counted
