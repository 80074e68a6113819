"""The funnel that the pages share: counted beside the requests, while somebody looks."""

from functools import partial
from typing import cast

from flask import Flask, current_app

from proxy.admin.parts import Parts
from proxy.aside import Aside
from proxy.counting import Counted, Counting
from proxy.overview import Funnel, count

_NAME = "counting"


def install(app: Flask, parts: Parts) -> None:
    """Let the pages of *app* ask for counts."""
    app.extensions[_NAME] = Counting(partial(count, Aside(parts.database)))


def counting() -> Counting[Funnel]:
    """Return what counts in this process."""
    return cast(Counting[Funnel], current_app.extensions[_NAME])


def latest() -> Counted[Funnel] | None:
    """Return what was counted last; None before the first time."""
    return counting().latest()
