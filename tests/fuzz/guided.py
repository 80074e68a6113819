"""One target under atheris, which changes inputs by what they reach.

Usage: `python -m tests.fuzz.guided TARGET SECONDS FOLDER`; what was found is left in FOLDER.
"""

import importlib
import sys
from pathlib import Path
from typing import Any

CORPUS = Path(__file__).parent / "corpus"
MARK = "executions"
INSTRUMENTED = ["proxy", "email", "http.client", "json", "tests.fuzz.answers"]


def main(name: str, seconds: int, folder: Path) -> None:
    """Fuzz target *name*; the process ends with another status than 0 at the first finding."""
    atheris: Any = importlib.import_module("atheris")  # of the group `fuzz`, not of `dev`
    with atheris.instrument_imports(include=INSTRUMENTED):
        targets = importlib.import_module("tests.fuzz.targets")
    found = folder / name
    found.mkdir(parents=True, exist_ok=True)
    options = [
        f"-max_total_time={seconds}",
        f"-artifact_prefix={folder}/{name}-",
        "-max_len=4096",
        "-timeout=30",
        "-rss_limit_mb=1024",
        "-print_final_stats=1",
        "-verbosity=1",
    ]
    atheris.Setup([sys.argv[0], *options, str(found), str(CORPUS / name)], targets.TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
