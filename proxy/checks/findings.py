"""A finding of `check`: what was looked at, how it stands, and how to mend it. Looks at nothing."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from proxy.errors import ConfigurationError

# The closed list, in the order in which they are made; docs/checks.md has a row for each.
CHECKS = (
    "settings",
    "environment",
    "public_url",
    "networks",
    "limits",
    "redis",
    "alerts",
    "customers",
    "descriptors",
    "partners",
    "origins",
    "report_moment",
    "test_keys",
    "pace",
    "senders",
    "durations",
    "secrets",
    "secret_text",
    "secret_twice",
    "config_file",
    "signing_keys",
    "server_keys",
    "database",
    "folder",
    "space",
    "owners",
    "sqlite",
    "durability",
    "connections",
    "database_clock",
    "schema",
    "audit_key",
    "signing_key",
    "dead",
    "conflict",
    "paused",
    "overdue",
    "seals",
    "service",
    "upstream",
    "certificate",
    "clock",
    "credentials",
    "public",
    "scripts",
    "receipts",
    "private",
    "webhook",
)


class Verdict(StrEnum):
    """How what was looked at stands."""

    OK = "ok"
    WARN = "warn"  # it works, and may not be what was meant
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check says."""

    check: str
    verdict: Verdict
    says: str
    mend: str = ""

    def __post_init__(self) -> None:
        if self.check not in CHECKS:
            raise ValueError(f"{self.check} is not on the list of checks")


Findings = Iterator[Finding]


def ok(check: str, says: str) -> Finding:
    """Return that nothing is wrong."""
    return Finding(check, Verdict.OK, says)


def warn(check: str, says: str, mend: str) -> Finding:
    """Return what works, and may not be what was meant."""
    return Finding(check, Verdict.WARN, says, mend)


def fail(check: str, says: str, mend: str) -> Finding:
    """Return what does not work."""
    return Finding(check, Verdict.FAIL, says, mend)


def refused(check: str, error: ConfigurationError) -> Finding:
    """Return what *error* says, and its second half as the mend: ours are `what; how to mend`."""
    says, _, mend = _halves(str(error))
    return fail(check, says.rstrip("."), mend[:1].upper() + mend[1:])


def or_ok(found: Iterable[Finding], check: str, says: str) -> Findings:
    """Yield what was *found*, or that nothing was."""
    listed = list(found)
    yield from listed or [ok(check, says)]


def _halves(sentence: str) -> tuple[str, str, str]:
    """Split at the first `; ` that stands in no parentheses: those quote what others said."""
    bare = re.sub(r"\([^()]*\)", lambda found: "_" * len(found[0]), sentence)
    place = bare.find("; ")
    return (sentence, "", "") if place < 0 else (sentence[:place], "; ", sentence[place + 2 :])
