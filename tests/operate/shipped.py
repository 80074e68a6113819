"""What deploy/ ships, read as those read it that run it: compose, Helm and systemd."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

DEPLOY = Path(__file__).parents[2] / "deploy"
UNITS = DEPLOY / "systemd"
CHART = DEPLOY / "helm/optout-proxy"
PROFILES = ("single", "scaled")
PROGRAM = "/opt/optout-proxy/bin/optout-proxy"  # where the units find it

Document = dict[str, Any]


def compose(text: str = "") -> Document:
    """Return the compose file, or *text* in its place, with its anchors resolved."""
    found: Document = yaml.safe_load(text or (DEPLOY / "compose.yaml").read_text())
    return found


def services(profile: str, document: Document | None = None) -> dict[str, Document]:
    """Return the services of *profile* by name."""
    all_of_them: dict[str, Document] = (document or compose())["services"]
    return {name: one for name, one in all_of_them.items() if profile in one["profiles"]}


def options(service: str) -> list[str]:
    """Return the options of a service's command, without where it listens."""
    command: list[str] = compose()["services"][service]["command"]
    words = iter(command[1:])
    return [word for word in words if word not in {"--bind", "--admin-bind"} or not next(words)]


def unit(path: Path) -> dict[str, list[str]]:
    """Return the settings of a systemd unit: each name with its values, in order."""
    found: dict[str, list[str]] = {}
    for line in path.read_text().splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


def commands() -> Iterator[tuple[str, list[str]]]:
    """Yield every command of ours that compose and systemd start, with where it stands."""
    for name, service in compose()["services"].items():
        if "optout-proxy" in service["image"]:
            yield f"compose.yaml: {name}", service["command"]
    for path in sorted(UNITS.glob("*.service")):
        line = re.sub(r"\$\$\(.*?\)", "today", unit(path)["ExecStart"][0])
        words = re.sub(r"['\"]", " ", line).replace("%i", "2").split()
        yield path.name, words[words.index(PROGRAM) + 1 :]
