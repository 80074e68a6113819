"""The pictures of docs/dashboard.md, made anew: `python -m tests.admin.screenshots`."""

import base64
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.admin.in_browser import Site, a_site
from tests.admin.pictures import small
from tests.browser import browsers, driven, engines

IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"
OFFERS = 40_000


@dataclass(frozen=True)
class Shot:
    """One picture: of which page, how large, in light or dark."""

    name: str
    path: Callable[[Site], str]
    width: int = 1200
    height: int = 860
    scheme: str = "light"


SHOTS = (
    Shot("overview", lambda _: "", height=1000),
    Shot("overview-dark", lambda _: "", height=1000, scheme="dark"),
    Shot("deliveries", lambda _: "deliveries"),
    Shot("delivery", lambda site: f"deliveries/{site.row('report = ' + repr('dead'))}"),
    Shot("dead-letters", lambda _: "dead-letters", height=640),
    Shot("conflicts", lambda _: "conflicts"),
    Shot("phone", lambda site: f"deliveries/{site.row(_TORN)}", width=390, height=844),
)
_TORN = "conflicts = 'acceptance'"


def main() -> None:
    """Write all of them."""
    with (
        tempfile.TemporaryDirectory() as folder,
        tempfile.TemporaryDirectory() as profile,
        a_site(Path(folder), OFFERS) as site,
        browsers.opened(engines.CHROMIUM, Path(profile)) as window,
    ):
        assert isinstance(window, driven.Driven)
        site.sign_in(window, site.dashboard.person("operator", "nora"), look=lambda: None)
        for shot in SHOTS:
            picture = small(_taken(window, site, shot))
            (IMAGES / f"dashboard-{shot.name}.png").write_bytes(picture)


def _taken(window: driven.Driven, site: Site, shot: Shot) -> bytes:
    driver = window.driver
    features = [{"name": "prefers-color-scheme", "value": shot.scheme}]
    size = {"width": shot.width, "height": shot.height, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    driver.execute_cdp_cmd("Emulation.setScrollbarsHidden", {"hidden": True})
    window.go(site.path(shot.path(site)))
    return base64.b64decode(driver.get_screenshot_as_base64())


if __name__ == "__main__":
    main()
