"""What the snippet costs a page, in three engines: bytes, start-up, clicks, what the page feels."""

import gzip
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.progress import say
from bench.row import Row, measured
from tests.browser import browsers
from tests.browser.engines import ENGINES
from tests.browser.stage import BUTTONS
from tests.browser.stand_in import SCRIPT, Proxy, Shop
from tests.browser.window import Window

LOADS = 15
CLICKS = 2_000

# The script stands in the page, so that nothing but itself is between the two looks at the clock.
PAGE = """<script>const began = performance.now()</script>
<script data-endpoint="{proxy}" data-token=a.token data-offer=OFFER-1>{code}</script>
<script>window.took = performance.now() - began</script>{body}"""
FELT = """<script>
  window.felt = { longtask: 0, 'layout-shift': 0 };
  for (const type in felt) if (PerformanceObserver.supportedEntryTypes.includes(type))
    new PerformanceObserver((list) => felt[type] += list.getEntries().length)
      .observe({ type, buffered: true });
    else felt[type] = null;
</script>"""
# A click that answers nothing is what a page has most of: with and without the snippet.
CLICK = """
  const node = document.querySelector('p');
  const began = performance.now();
  for (let n = 0; n < arguments[0]; n++) node.click();
  return (performance.now() - began) / arguments[0] * 1000;
"""


def rows(*, quick: bool = False) -> Iterator[Row]:
    """Yield the rows of the table."""
    code = SCRIPT.read_bytes()
    size = len(gzip.compress(code, 9, mtime=0))
    yield measured("snippet, gzip -9", [size], "bytes", digits=0, at_most=2_200)
    with browsers.display():
        for engine in ENGINES:
            say(f"snippet: {engine.name}")
            with (
                tempfile.TemporaryDirectory() as folder,
                browsers.opened(engine, Path(folder)) as window,
            ):
                yield from _rows_of(engine.name, window, code.decode(), 3 if quick else LOADS)


def _rows_of(name: str, window: Window, code: str, loads: int) -> Iterator[Row]:
    shop, proxy = Shop(), Proxy()
    window.open_tab()
    body = f"{FELT}<p>Nothing</p>{BUTTONS}"
    page = shop.page(PAGE.format(proxy=proxy.origin, code=code, body=body), "/with")
    bare = shop.page(PAGE.format(proxy=proxy.origin, code="", body=body), "/without")
    starts, bares, clicks, others = [], [], [], []
    felt: dict[str, Any] = {}
    for _ in range(loads):
        window.go(bare)
        bares.append(window.run("return took"))
        others.append(window.run(CLICK, CLICKS))
        window.go(page)
        starts.append(window.run("return took"))
        clicks.append(window.run(CLICK, CLICKS))
        window.click("#no")
        felt = window.run("return felt")
    yield measured(f"{name}: start-up", starts, "ms", at_most=3)
    yield measured(f"{name}: the same, empty", bares, "ms")
    yield measured(f"{name}: a click elsewhere", clicks, "us")
    yield measured(f"{name}: the same, without the snippet", others, "us")
    yield _felt(name, felt)
    window.close_tabs()
    shop.close()
    proxy.close()


def _felt(name: str, felt: dict[str, int | None]) -> Row:
    """Return the row of what the page felt; not every engine tells."""
    told = ", ".join(f"{_told(count)} {what}s" for what, count in felt.items())
    counts = [count for count in felt.values() if count is not None]
    if not counts:
        return Row(what=f"{name}: felt", figure=told)
    return Row(what=f"{name}: felt", figure=told, reach="0", met=not any(counts))


def _told(count: int | None) -> str:
    return "can not tell" if count is None else str(count)
