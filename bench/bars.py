"""Bars beside each other, as an SVG picture."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from statistics import median

_WIDTH, _TOP, _STEP, _THICK = 960, 60, 34, 20
_RIGHT = 130  # figures stand to the right of the bars, names to the left
_LETTER = 7.6  # px, of a name in bold
_STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#3c4043}.ours{font-weight:600;fill:#174a84}"
    "line{stroke:#3c4043;stroke-width:1.5}"
)
# Ours are filled and named in bold, the others hatched: no colour is needed to tell them apart.
_HATCH = (
    '<defs><pattern id="other" width="6" height="6" patternUnits="userSpaceOnUse" '
    'patternTransform="rotate(45)"><rect width="6" height="6" fill="#eceff1"/>'
    '<rect width="2" height="6" fill="#78838c"/></pattern></defs>'
)
OURS = "optout-proxy"


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: its length is the median of *values*, with a whisker from least to most."""

    name: str
    values: Sequence[float]

    @property
    def middle(self) -> float:
        """How long it is."""
        return median(self.values)


@dataclass(frozen=True, slots=True)
class _Plane:
    """Where bars begin, and what the longest one stands for."""

    left: float
    widest: float

    def x(self, value: float) -> float:
        """Return how far to the right *value* is."""
        return round(self.left + value / self.widest * (_WIDTH - self.left - _RIGHT), 1)


def bars(title: str, unit: str, drawn: Sequence[Bar], *, reach: float | None = None) -> str:
    """Return *drawn* from the top down on an axis from 0, as an SVG document.

    A dashed line stands at *reach*.
    """
    widest = max([max(bar.values) for bar in drawn] + [reach or 0.0]) or 1.0
    plane = _Plane(30 + _LETTER * max(len(bar.name) for bar in drawn), widest)
    height = _TOP + _STEP * len(drawn) + 14
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img">',
        f"<title>{escape(title)}</title><desc>{escape(told(unit, drawn))}</desc>",
        f"<style>{_STYLE}</style>{_HATCH}",
        f'<rect width="{_WIDTH}" height="{height}" fill="#fff"/>',
        f'<text x="16" y="24" style="font-size:15px">{escape(title)}</text>',
        *(part for place, bar in enumerate(drawn) for part in _bar(place, bar, unit, plane)),
        *(() if reach is None else _reach(reach, plane, height)),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def told(unit: str, drawn: Sequence[Bar]) -> str:
    """Return the same in words, for who can not see it."""
    return "; ".join(f"{bar.name} {figure(bar.middle)} {unit}" for bar in drawn) + "."


def figure(value: float) -> str:
    """Return *value* with as many digits as it is worth."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _bar(place: int, bar: Bar, unit: str, plane: _Plane) -> Iterator[str]:
    top = _TOP + _STEP * place
    middle, text = top + _THICK / 2, top + _THICK / 2 + 4.5
    is_ours = bar.name.startswith(OURS)
    kind, fill = (' class="ours"', "#6ba0da") if is_ours else ("", "url(#other)")
    zero, end = plane.x(0), plane.x(bar.middle)
    name, said = escape(bar.name), escape(f"{figure(bar.middle)} {unit}".strip())
    yield f'<text{kind} x="{zero - 10:.1f}" y="{text}" text-anchor="end">{name}</text>'
    yield (f'<rect x="{zero}" y="{top}" width="{end - zero:.1f}" height="{_THICK}" fill="{fill}"/>')
    least, most = plane.x(min(bar.values)), plane.x(max(bar.values))
    if least < most:
        yield f'<line x1="{least}" x2="{most}" y1="{middle}" y2="{middle}"/>'
        for x in (least, most):
            yield f'<line x1="{x}" x2="{x}" y1="{middle - 5}" y2="{middle + 5}"/>'
    yield f'<text{kind} x="{_WIDTH - 16}" y="{text}" text-anchor="end">{said}</text>'


def _reach(reach: float, plane: _Plane, height: int) -> Iterator[str]:
    x = plane.x(reach)
    yield f'<line x1="{x}" x2="{x}" y1="{_TOP - 8}" y2="{height - 8}" stroke-dasharray="5 4"/>'
    yield f'<text x="{x}" y="{_TOP - 12}" text-anchor="middle">to reach: {figure(reach)}</text>'
