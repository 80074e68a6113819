"""Writes the bill of materials of the runtime, CycloneDX 1.6: the same bytes for the same commit.

cyclonedx-py reads the lock file. Added is what it can not know: the version, who needs whom (the
`# via` lines of the lock file), and the snippet, which is served and so is part of the runtime.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from deploy import commit
from proxy import __version__

ROOT = commit.ROOT
LOCK = ROOT / "deploy/requirements.lock"
SELF = "optout-proxy"
_USER = r" +# (?:via| ) (?!-)([a-z0-9._-]+)(?: \(.*\))?$"  # on the line of `via`, or below it


def bill() -> str:
    """Return the bill of materials; raise ValueError if it is not what its schema asks for."""
    found = json.loads(_components())
    refs = {each["name"]: each["purl"] for each in found["components"]}
    for each in found["components"]:
        each["bom-ref"] = refs[each["name"]]
        del each["description"]  # the line of the lock file once more
    root = found["metadata"]["component"]
    root |= {"version": __version__, "bom-ref": SELF, "purl": f"pkg:pypi/{SELF}@{__version__}"}
    snippet = _snippet()
    needs = {SELF: {snippet["bom-ref"]}, snippet["bom-ref"]: set[str]()}
    needs |= {ref: set() for ref in refs.values()}
    for package, users in via(LOCK.read_text("utf-8")).items():
        for user in users:
            needs[refs.get(user, SELF)].add(refs[package])
    found["components"].append(snippet)
    found["dependencies"] = [
        {"ref": ref, "dependsOn": sorted(needed)} for ref, needed in sorted(needs.items())
    ]
    content = json.dumps(found, sort_keys=True).encode()
    number = uuid.UUID(bytes=hashlib.sha256(content).digest()[:16], version=4)
    text = json.dumps({**found, "serialNumber": f"urn:uuid:{number}"}, indent=2, sort_keys=True)
    if errors := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        raise ValueError(str(errors))
    return f"{text}\n"


def via(lock: str) -> dict[str, set[str]]:
    """Return who needs each package of *lock*, a lock file as `uv pip compile` writes it."""
    users: dict[str, set[str]] = {}
    package = ""
    for line in lock.splitlines():
        if match := re.match(r"([a-z0-9._-]+)==", line):
            package = match[1]
            users[package] = set()
        elif package and (match := re.match(_USER, line)):
            users[package].add(match[1])
    return users


def _components() -> str:
    """Return what cyclonedx-py makes of the lock file."""
    command = [sys.executable, "-m", "cyclonedx_py", "requirements", str(LOCK), "--sv", "1.6"]
    options = ["--pyproject", "pyproject.toml", "--output-reproducible", "--no-validate"]
    environment = os.environ | {
        "SOURCE_DATE_EPOCH": str(commit.seconds()),
        "PYTHONWARNINGS": "ignore",  # that the graph is not there yet
    }
    done = subprocess.run(
        [*command, *options], cwd=ROOT, env=environment, check=True, capture_output=True, text=True
    )
    return done.stdout


def _snippet() -> dict[str, Any]:
    content = (ROOT / "static/s" / __version__ / "choice.js").read_bytes()
    return {
        "type": "library",
        "bom-ref": "choice.js",
        "name": "@optout-proxy/choice",
        "version": __version__,
        "purl": f"pkg:npm/%40optout-proxy/choice@{__version__}",
        "licenses": [{"license": {"id": "Apache-2.0"}}],
        "hashes": [
            {"alg": "SHA-256", "content": hashlib.sha256(content).hexdigest()},
            {"alg": "SHA-384", "content": hashlib.sha384(content).hexdigest()},
        ],
    }


def main(target: str = "") -> None:
    """Write the file."""
    path = Path(target) if target else ROOT / "dist" / f"{SELF}-{__version__}.cdx.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(bill(), "utf-8")
    print(path)


if __name__ == "__main__":
    main(*sys.argv[1:])
