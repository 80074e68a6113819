"""What the snippet costs a page, in three engines: bytes, start-up, clicks, what the page feels."""

import gzip
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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


def rows() -> Iterator[tuple[str, str, str]]:
    """Yield the rows of the table."""
    code = SCRIPT.read_bytes()
    yield "snippet, gzip -9", f"{len(gzip.compress(code, 9, mtime=0))} bytes", "<= 2200"
    with browsers.display():
        for engine in ENGINES:
            with (
                tempfile.TemporaryDirectory() as folder,
                browsers.opened(engine, Path(folder)) as window,
            ):
                yield from _rows_of(engine.name, window, code.decode())


def _rows_of(name: str, window: Window, code: str) -> Iterator[tuple[str, str, str]]:
    shop, proxy = Shop(), Proxy()
    window.open_tab()
    body = f"{FELT}<p>Nothing</p>{BUTTONS}"
    page = shop.page(PAGE.format(proxy=proxy.origin, code=code, body=body), "/with")
    bare = shop.page(PAGE.format(proxy=proxy.origin, code="", body=body), "/without")
    starts, bares, clicks, others = [], [], [], []
    felt: dict[str, Any] = {}
    for _ in range(LOADS):
        window.go(bare)
        bares.append(window.run("return took"))
        others.append(window.run(CLICK, CLICKS))
        window.go(page)
        starts.append(window.run("return took"))
        clicks.append(window.run(CLICK, CLICKS))
        window.click("#no")
        felt = window.run("return felt")
    yield f"{name}: start-up", f"{_spread(starts)} ms, empty {_spread(bares)}", "<= 3 ms"
    yield f"{name}: a click elsewhere", f"{_spread(clicks)} us, without {_spread(others)}", ""
    told = ", ".join(f"{_told(count)} {what}s" for what, count in felt.items())
    yield f"{name}: felt", told, "0"
    window.close_tabs()
    shop.close()
    proxy.close()


def _told(count: int | None) -> str:
    return "can not tell" if count is None else str(count)


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"
