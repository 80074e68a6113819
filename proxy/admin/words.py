"""How the dashboard's pages write times, spans and numbers."""

from datetime import UTC, datetime

from flask import Flask

from proxy.clocks import time_of, wall

_SECOND = 1000
_STEPS = (  # up to how many ms, counted in what, and its word
    (90 * _SECOND, _SECOND, "s"),
    (90 * 60 * _SECOND, 60 * _SECOND, "min"),
    (36 * 3600 * _SECOND, 3600 * _SECOND, "h"),
)
_DAY = 86_400 * _SECOND


def install(app: Flask) -> None:
    """Give the templates of *app* their filters."""
    app.add_template_filter(utc)
    app.add_template_filter(ago)
    app.add_template_filter(span)
    app.add_template_filter(time_of, "rfc3339")
    app.add_template_filter(number)
    app.add_template_filter(capitalize_first)


def utc(value: int) -> str:
    """Return Unix milliseconds as a day and a time of it."""
    try:
        return f"{datetime.fromtimestamp(value / 1000, UTC):%Y-%m-%d %H:%M:%S}"
    except (OverflowError, ValueError):
        return str(value)  # a page's clock may say anything


def ago(value: int) -> str:
    """Say how far from now a time lies."""
    distance = wall() - value
    if abs(distance) < _SECOND:
        return "now"
    return f"{span(distance)} ago" if distance > 0 else f"in {span(-distance)}"


def span(value: int) -> str:
    """Return a number of milliseconds in the unit that says most."""
    for most, unit, word in _STEPS:
        if value < most:
            return f"{value // unit} {word}"
    days = value // _DAY
    return f"{days:,} day{'' if days == 1 else 's'}"


def number(value: int) -> str:
    """Return a count with its thousands apart."""
    return f"{value:,}"


def capitalize_first(text: str) -> str:
    """Return *text* with its first letter large; names in it stay as they are."""
    return text[:1].upper() + text[1:]
