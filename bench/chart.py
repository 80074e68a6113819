"""Lines over a plane, as an SVG picture."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT = 960, 420
_LEFT, _RIGHT, _TOP, _BASE = 96, 200, 56, 360  # of the plot; names stand to its right
_STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#3c4043}line{stroke:#dadce0}"
    "polyline{fill:none;stroke-width:2.5}"
)
_COLOURS = ("#1d5fa8", "#137333", "#b3261e", "#8a5a00")
_DASHES = ("", "7 4", "2 3", "9 3 2 3")  # so that colour is not needed to tell them apart


@dataclass(frozen=True, slots=True)
class Line:
    """One line and its name."""

    name: str
    x: Sequence[float]
    y: Sequence[float]


def chart(title: str, across: str, up: str, lines: Sequence[Line]) -> str:
    """Return *lines* with axes from 0, as an SVG document."""
    widest = _round(max(max(line.x) for line in lines))
    highest = _round(max(max(line.y) for line in lines))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style>",
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
        f'<text x="{_LEFT}" y="22" style="font-size:15px">{escape(title)}</text>',
        f'<text x="{_LEFT}" y="44">{escape(up)}</text>',
        f'<text x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 12}" text-anchor="end">{escape(across)}</text>',
        *_axes(widest, highest),
        *(_line(place, line, widest, highest) for place, line in enumerate(lines)),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _axes(widest: float, highest: float) -> Iterator[str]:
    for step in range(6):
        x, y = _x(widest * step / 5, widest), _y(highest * step / 5, highest)
        yield f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y}" y2="{y}"/>'
        yield f'<text x="{_LEFT - 8}" y="{y + 4}" text-anchor="end">{highest * step / 5:,g}</text>'
        yield f'<text x="{x}" y="{_BASE + 20}" text-anchor="middle">{widest * step / 5:,g}</text>'


def _line(place: int, line: Line, widest: float, highest: float) -> str:
    points = " ".join(
        f"{_x(x, widest)},{_y(y, highest)}" for x, y in zip(line.x, line.y, strict=True)
    )
    look = f'stroke="{_COLOURS[place]}" stroke-dasharray="{_DASHES[place]}"'
    left, y = _WIDTH - _RIGHT + 16, _TOP + 12 + 22 * place
    return (
        f'<polyline {look} points="{points}"/>'
        f'<polyline {look} points="{left},{y} {left + 28},{y}"/>'
        f'<text x="{left + 36}" y="{y + 4}">{escape(line.name)}</text>'
    )


def _x(value: float, widest: float) -> float:
    return round(_LEFT + value / widest * (_WIDTH - _LEFT - _RIGHT), 1)


def _y(value: float, highest: float) -> float:
    return round(_BASE - value / highest * (_BASE - _TOP), 1)


def _round(most: float) -> float:
    """Return a round number that is not below *most*."""
    step = 1.0
    while step * 10 < most:
        step *= 10
    return next(step * factor for factor in (1, 2, 2.5, 4, 5, 10) if step * factor >= most)
