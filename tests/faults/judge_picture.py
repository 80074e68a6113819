"""A run as one picture: declines acknowledged, declines with the insurer, and every fault."""

from html import escape

from tests.faults.judge_run import Key, Run

_WIDTH, _HEIGHT = 960, 420
_LEFT, _RIGHT, _TOP, _BASE = 88, 28, 56, 300  # of the plot; faults stand below it
_LANES = {"process": 330, "storage": 354, "upstream": 378, "operation": 402}
_COLOURS = {
    "process": "#b3261e",
    "storage": "#8a5a00",
    "upstream": "#1d5fa8",
    "operation": "#5f6368",
}
_NAMES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
_STEPS = 240  # points of a line
_STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#3c4043}"
    ".a{fill:none;stroke:#137333;stroke-width:2.5}"
    ".d{fill:none;stroke:#1d5fa8;stroke-width:2.5;stroke-dasharray:5 3}"
    "line{stroke:#dadce0}"
)


class _Scale:
    def __init__(self, run: Run, most: int) -> None:
        self.begin: int = run.about["begin_ms"]
        self.end: int = run.about["end_ms"]
        self._most = max(1, most)

    def x(self, at: float) -> float:
        share = (at - self.begin) / max(1, self.end - self.begin)
        return round(_LEFT + min(1.0, max(0.0, share)) * (_WIDTH - _LEFT - _RIGHT), 1)

    def y(self, count: int) -> float:
        return round(_BASE - count / self._most * (_BASE - _TOP), 1)


def picture(run: Run) -> str:
    """Return the run as an SVG document."""
    acknowledged = sorted(_acknowledged(run).values())
    delivered = sorted(_delivered(run).values())
    scale = _Scale(run, max(len(acknowledged), len(delivered)))
    faults = run.about["faults"]
    engine = _NAMES.get(run.about["engine"], run.about["engine"])
    title = f"{engine}: {len(acknowledged):,} declines that stand, {len(faults)} faults"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style>",
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
        f'<text x="{_LEFT}" y="22" style="font-size:15px">{escape(title)}</text>',
        *_axes(scale, max(len(acknowledged), len(delivered))),
        _line("a", acknowledged, scale),
        _line("d", delivered, scale),
        *_legend(),
        *(_fault(fault["group"], fault["name"], fault, scale) for fault in faults),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _acknowledged(run: Run) -> dict[Key, int]:
    """Return when each decline that stands in the end was first acknowledged."""
    first: dict[Key, int] = {}
    for call in run.calls:
        if call.acknowledged and call.said["choice"] == "declined" and call.answered_ms:
            first[call.key] = min(call.answered_ms, first.get(call.key, call.answered_ms))
    return {key: at for key, at in first.items() if _stands(run, key)}


def _delivered(run: Run) -> dict[Key, int]:
    """Return when each of them first had its effect at the insurer."""
    first: dict[Key, int] = {}
    for one in run.requests:
        if one["effect"]:
            first.setdefault(run.key_of_request(one), int(one["received_at"]))
    return {key: at for key, at in first.items() if _stands(run, key)}


def _stands(run: Run, key: Key) -> bool:
    return key in run.rows and run.rows[key]["choice"] == "declined"


def _axes(scale: _Scale, most: int) -> list[str]:
    parts = []
    for share in (0, 0.5, 1):
        count = int(most * share)
        y = scale.y(count)
        parts.append(f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4}" text-anchor="end">{count:,}</text>')
    seconds = (scale.end - scale.begin) // 1000
    for share in (0, 0.25, 0.5, 0.75, 1):
        x = scale.x(scale.begin + share * (scale.end - scale.begin))
        label = f"{seconds * share:.0f} s"
        parts.append(f'<text x="{x}" y="{_BASE + 16}" text-anchor="middle">{label}</text>')
    for group, y in _LANES.items():
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4}" text-anchor="end">{group}</text>')
    return parts


def _line(name: str, times: list[int], scale: _Scale) -> str:
    step = max(1, len(times) // _STEPS)
    counted = [*range(0, len(times), step), len(times) - 1] if times else []
    points = " ".join(f"{scale.x(times[index])},{scale.y(index + 1)}" for index in counted)
    return f'<polyline class="{name}" points="{points}"/>'


def _legend() -> list[str]:
    return [
        f'<path class="a" d="M{_LEFT} 40h28"/><text x="{_LEFT + 34}" y="44">acknowledged</text>',
        f'<path class="d" d="M{_LEFT + 140} 40h28"/>',
        f'<text x="{_LEFT + 174}" y="44">with the insurer</text>',
    ]


def _fault(group: str, name: str, fault: dict[str, int], scale: _Scale) -> str:
    x, end = scale.x(fault["from_ms"]), scale.x(fault["to_ms"])
    return (
        f'<rect x="{x}" y="{_LANES[group] - 7}" width="{max(2.0, round(end - x, 1))}" height="14" '
        f'fill="{_COLOURS[group]}"><title>{escape(name)}</title></rect>'
    )
