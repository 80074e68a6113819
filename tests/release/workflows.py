"""What a workflow must keep to, so that neither a pull request nor a stranger's tag gets a say."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}")
SAID = re.compile(r"uses: *\S+@[0-9a-f]{40} # v\d+\.\d+\.\d+$")
# What an outsider can write into: it would be pasted into the shell's text.
FROM_OUTSIDE = re.compile(r"\$\{\{[^}]*(github\.(event|head_ref|ref_name|actor)|inputs)\b")
LEAST = {"read", "none"}
MAY_WRITE = {
    ("npm", "publish"): {"id-token"},
    ("release", "notes"): {"contents"},
    ("release", "pypi"): {"id-token"},
    ("security", "codeql"): {"security-events"},
}


def faults(path: Path) -> list[str]:
    """Return what is wrong with the workflow in *path*."""
    text = path.read_text("utf-8")
    flow = yaml.safe_load(text)
    found = list(_in_text(text))
    if flow.get("permissions") != {}:
        found.append("the top level grants permissions")
    for name, job in flow["jobs"].items():
        found += [f"{name} {fault}" for fault in _in_job(path.stem, name, job)]
    return found


def _in_text(text: str) -> Iterator[str]:
    for word in ("pull_request_target", "workflow_run"):
        if word in text:
            yield f"runs on {word}"
    if re.search(r"\bsecrets\b", text):
        yield "uses a secret"
    for line in text.splitlines():
        if re.search(r"\buses:", line) and not SAID.search(line):
            yield f"does not say the version: {line.strip()}"


def _in_job(flow: str, name: str, job: dict[str, Any]) -> Iterator[str]:
    granted = job.get("permissions")
    if not isinstance(granted, dict):
        yield "does not say its permissions"
        granted = {}
    writes = {scope for scope, level in granted.items() if level not in LEAST}
    if writes - MAY_WRITE.get((flow, name), set()):
        yield f"may write {', '.join(sorted(writes))}"
    if "timeout-minutes" not in job:
        yield "may run for ever"
    for step in job["steps"]:
        yield from _in_step(step)


def _in_step(step: dict[str, Any]) -> Iterator[str]:
    used = step.get("uses", "")
    if used and not PINNED.fullmatch(used):
        yield f"uses {used}"
    checkout = used.startswith("actions/checkout@")
    if checkout and step.get("with", {}).get("persist-credentials") is not False:
        yield "keeps the credentials of the checkout"
    if FROM_OUTSIDE.search(step.get("run", "")):
        yield "pastes what others write into a command"
