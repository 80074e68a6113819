"""The fault script: which rule, if any, spoils a call. Knows no answers and no sockets."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Lock
from types import MappingProxyType
from typing import Any

from proxy.sandbox.routes import Call


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What can go wrong: whether the call is processed all the same, and the parameters."""

    effect: bool  # the default; a rule may say otherwise
    params: Mapping[str, Any] = field(default_factory=dict)  # with their defaults


FAULTS: Mapping[str, Fault] = {
    # another answer
    "status": Fault(
        effect=False,
        params={"status": 503, "body": None, "headers": {}, "retry_after": None, "date_in": None},
    ),
    "redirect": Fault(effect=False, params={"status": 302, "location": "http://127.0.0.1:9/"}),
    "html": Fault(effect=False, params={"status": 200}),
    "bad_json": Fault(effect=True, params={"status": 200}),
    "json_fields": Fault(effect=True, params={"set": {}, "drop": []}),
    "echo_secrets": Fault(effect=False, params={"status": 500}),
    "inject_headers": Fault(effect=True, params={"headers": {}}),
    "gzip_bomb": Fault(effect=True, params={"megabytes": 100}),
    "big_header": Fault(effect=True, params={"bytes": 100 * 1024, "count": 1}),
    # another judgement
    "wrong_secret": Fault(effect=True),
    "expire_tokens": Fault(effect=True),
    # time
    "hang": Fault(effect=True, params={"seconds": 30.0, "locked": False}),
    # the connection
    "reset": Fault(effect=False),
    "close": Fault(effect=False),
    "lost_answer": Fault(effect=True),
    "reset_mid": Fault(effect=True),
    "truncated": Fault(effect=True),
    "drip_head": Fault(effect=True, params={"pause": 0.5}),
    "drip_body": Fault(effect=True, params={"pause": 0.5}),
    "endless": Fault(effect=True, params={"megabytes": 1024}),
    "endless_interim": Fault(effect=True, params={"pause": 0.2}),
    "garbage": Fault(effect=False),
    "smuggled": Fault(effect=True),
}

_MATCHES = frozenset({"api", "offer", "path_prefix"})
_RULE_HELP = (
    "`match` has texts named api, offer or path_prefix; `times` is a whole number or null for "
    "ever; `skip` a whole number; `chance` from 0 to 1; `effect` true or false"
)


class BadRule(ValueError):
    """A fault rule can not be used; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One line of the script: this fault, for the calls that match."""

    fault: str
    match: Mapping[str, str] = field(default_factory=dict)
    times: int | None = None  # None: for ever
    skip: int = 0  # so many matching calls are spared first
    chance: float = 1.0  # of each matching call to be hit
    effect: bool = False  # the call is processed, whatever is answered
    params: Mapping[str, Any] = field(default_factory=dict)

    def matches(self, call: Call | None, path: str) -> bool:
        """Return whether this rule is for *call*, an opt-out unless a path is named, at *path*."""
        if "path_prefix" not in self.match and (call is None or call.api is None):
            return False
        facts = (("api", call.api if call else None), ("offer", call.offer if call else None))
        if any(name in self.match and self.match[name] != value for name, value in facts):
            return False
        return path.startswith(self.match.get("path_prefix", ""))


def rule_from(data: Any) -> Rule:
    """Return the rule that *data*, from JSON, describes; raise BadRule."""
    if not isinstance(data, dict) or data.get("fault") not in FAULTS:
        raise BadRule(f"a rule is an object whose `fault` is one of: {', '.join(FAULTS)}")
    name = data["fault"]
    extra = {key: value for key, value in data.items() if key not in _RULE_KEYS}
    for key, value in extra.items():
        _check_param(name, key, value)
    kept = {key: data[key] for key in _RULE_KEYS & data.keys()}
    for key, value in kept.items():
        if not _CHECKS[key](value):
            raise BadRule(f"`{key}` is not acceptable: {_RULE_HELP}")
    params = {**FAULTS[name].params, **extra}
    return Rule(**{"effect": FAULTS[name].effect, **kept, "params": params})


def _check_param(name: str, key: str, value: Any) -> None:
    params = FAULTS[name].params
    if key not in params:
        takes = ", ".join(params) or "no parameters"
        raise BadRule(f"the fault {name} has no `{key}`; it takes: {takes}")
    default = params[key]
    kind: Any = (int, float) if isinstance(default, float) else type(default)
    if default is not None and (not isinstance(value, kind) or _is_negative(value)):
        raise BadRule(f"`{key}` of the fault {name} is not like {default!r}")


def _is_negative(value: Any) -> bool:
    return isinstance(value, int | float) and value < 0


def _is_match(value: Any) -> bool:
    if not isinstance(value, dict) or value.keys() - _MATCHES:
        return False
    return all(isinstance(text, str) for text in value.values())


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


_CHECKS: Mapping[str, Callable[[Any], bool]] = MappingProxyType(
    {
        "fault": lambda value: isinstance(value, str),
        "match": _is_match,
        "times": lambda value: value is None or _is_count(value),
        "skip": _is_count,
        "chance": lambda value: isinstance(value, int | float) and 0 <= value <= 1,
        "effect": lambda value: isinstance(value, bool),
    }
)
_RULE_KEYS = _CHECKS.keys()


@dataclass(slots=True)
class _Line:
    rule: Rule
    seen: int = 0
    used: int = 0


class Script:
    """The rules in force, in order; the first that applies is used. Safe for many threads."""

    def __init__(self, dice: Callable[[], float]) -> None:
        self._dice = dice
        self._lock = Lock()
        self._lines: list[_Line] = []

    def add(self, *rules: Rule) -> None:
        """Put *rules* behind those there are."""
        with self._lock:
            self._lines += map(_Line, rules)

    def clear(self) -> None:
        """Forget all rules."""
        with self._lock:
            self._lines = []

    def take(self, call: Call | None, path: str) -> Rule | None:
        """Return the rule for *call* at *path* and count its use, None if there is none."""
        with self._lock:
            for line in self._lines:
                if line.rule.matches(call, path) and self._applies(line):
                    return line.rule
        return None

    def _applies(self, line: _Line) -> bool:
        rule = line.rule
        line.seen += 1
        if line.seen <= rule.skip or line.used == rule.times:
            return False
        if rule.chance < 1 and self._dice() >= rule.chance:
            return False
        line.used += 1
        return True

    def shown(self) -> list[dict[str, Any]]:
        """Return the rules for JSON, each with how often it was used."""
        with self._lock:
            return [_shown(line) for line in self._lines]


def _shown(line: _Line) -> dict[str, Any]:
    rule = line.rule
    return {
        "match": rule.match,
        "fault": rule.fault,
        "times": rule.times,
        "skip": rule.skip,
        "chance": rule.chance,
        "effect": rule.effect,
        **rule.params,
        "used": line.used,
    }
