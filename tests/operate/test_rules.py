"""The alert rules and the dashboard that are shipped: they fire when they should, and name what is.

promtool runs the rules on made-up series; on Debian it comes with `apt-get install prometheus`.
"""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.operate.test_metrics import meant

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "deploy/prometheus/alerts.yml"
CASES = Path(__file__).with_name("alerts.test.yml")
DASHBOARD = ROOT / "deploy/grafana/dashboard.json"
GRAFANA = {"$__rate_interval": "5m", "$partner": ".*"}  # what Grafana would put there


def alerts() -> list[dict[str, Any]]:
    """Return the rules."""
    (group,) = yaml.safe_load(RULES.read_text("utf-8"))["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def panels() -> list[dict[str, Any]]:
    """Return what the dashboard shows, without the headings."""
    found = json.loads(DASHBOARD.read_text("utf-8"))["panels"]
    return [panel for panel in found if panel["type"] != "row"]


def expressions() -> Iterator[str]:
    """Yield every expression of the rules and of the dashboard."""
    yield from (rule["expr"] for rule in alerts())
    yield from (target["expr"] for panel in panels() for target in panel["targets"])


@pytest.fixture
def promtool() -> str:
    """The program that judges rules."""
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is missing; on Debian: apt-get install prometheus")
    return found


def run(*command: str) -> None:
    """Run a command; what it says is the failure."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_rules_fire_when_they_should_and_only_then(promtool: str) -> None:
    """On made-up series, by Prometheus' own code."""
    run(promtool, "check", "rules", str(RULES))
    run(promtool, "test", "rules", str(CASES))


def test_every_rule_is_made_to_fire_and_kept_from_firing() -> None:
    """A rule without a case might never fire, or always."""
    fired: set[str] = set()
    quiet: set[str] = set()
    for case in yaml.safe_load(CASES.read_text("utf-8"))["tests"]:
        for one in case["alert_rule_test"]:
            (fired if one.get("exp_alerts") else quiet).add(one["alertname"])

    names = [rule["alert"] for rule in alerts()]
    assert len(names) == len(set(names))
    assert fired == quiet == set(names)


def test_every_expression_of_the_dashboard_can_be_read(promtool: str, tmp_path: Path) -> None:
    """By Prometheus; Grafana would show an empty panel."""
    rules = []
    for number, expression in enumerate(expressions()):
        for name, value in GRAFANA.items():
            expression = expression.replace(name, value)  # noqa: PLW2901
        rules.append({"record": f"dashboard:{number}", "expr": expression})
    path = tmp_path / "dashboard.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))

    run(promtool, "check", "rules", str(path))


def test_rules_and_dashboard_name_metrics_that_there_are() -> None:
    """With labels that they have; a histogram's name has its ending."""
    known = meant()
    for expression in expressions():
        for name, selector in re.findall(r"\b(proxy_\w+)(?:\{([^}]*)\})?", expression):
            bare = re.sub(r"_(bucket|sum|count)$", "", name)
            assert name in known or bare in known, name
            labels, _ = known.get(name) or known[bare]
            named = set(re.findall(r"(\w+)\s*=", selector))
            assert named <= {*labels, "le"}, (name, named)


def test_every_alert_is_explained() -> None:
    """docs/monitoring.md has a heading for it, with what it means and what to do."""
    text = (ROOT / "docs/monitoring.md").read_text("utf-8")
    sections = dict(re.findall(r"^### (\w+)\n\n(.+?)(?=\n#|\Z)", text, re.MULTILINE | re.DOTALL))

    assert list(sections) == [rule["alert"] for rule in alerts()]
    assert [name for name, said in sections.items() if len(said.splitlines()) < 2] == []


def test_the_panels_fill_the_dashboard() -> None:
    """None lies over another, and each says what it shows."""
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        assert panel["title"]
        assert panel["description"]
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not taken & cells
        taken |= cells
