"""Partners: the settings as they are, no secret whole, and none of the insurer's opened."""

import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.keys import new_secret
from tests.admin.dashboard import Dashboard, Visitor, a_dashboard
from tests.admin.full import counted, words

_DAY = 86_400

_SHOP = """
[partners.SHOP]
origins = ["https://tickets.shop.example", "https://shop.example"]
signing_keys = [
  {{ kid = "shop-2026a", secret_file = "secrets/shop-2026a" }},
  {{ kid = "shop-2026b", secret_file = "secrets/shop-2026b" }},
]
server_key_hashes = ["sha256:{hash}"]
retention = "400d"
disabled = true
[partners.SHOP.upstreams.tickets]
api = "xcover-offers"
partner_code = "LLODT"
test = true
settle = "500ms"
hmac = {{ api_key_file = "secrets/key", api_secret_file = "secrets/gone" }}
[partners.SHOP.upstreams.elements]
api = "xone-offers"
partner_code = "LLODT"
hold = "3h"
unanswered = "declined"
oauth = {{ client_id_file = "secrets/key", client_secret_file = "secrets/key" }}
"""


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, str]:
    """The shop's secrets by the name of their file; one of the insurer's is not there."""
    folder = tmp_path / "secrets"
    folder.mkdir(mode=0o700, exist_ok=True)
    texts = {name: new_secret() for name in ("shop-2026a", "shop-2026b")}
    texts["key"] = secrets.token_urlsafe(24)
    for name, text in texts.items():
        (folder / name).write_text(f"{text}\n", "utf-8")
        (folder / name).chmod(0o600)
    week_ago = (folder / "key").stat().st_mtime - 7 * _DAY
    os.utime(folder / "shop-2026a", (week_ago, week_ago))
    return texts


@pytest.fixture
def shop(tmp_path: Path, url: str, keys: dict[str, str]) -> Iterator[Dashboard]:
    """A dashboard with a partner that has everything."""
    assert keys
    top = _SHOP.format(hash="c0ffee" + "ab" * 27 + "1234")
    with a_dashboard(tmp_path, url, top=top) as dashboard:
        yield dashboard


def test_every_partner_is_listed_with_the_days_numbers(full: Dashboard) -> None:
    """Also one that nothing was shown for."""
    page = counted(full, full.signed_in(), "/admin/partners")

    rows = [words(row) for row in re.findall(r"<tr>(.*?)</tr>", page, re.DOTALL)[1:]]
    assert [row.split()[0] for row in rows] == [
        "ACME",
        "HARBOUR",
        "LAMPLIGHT",
        "NORTHLINE",
        "OAKTREE",
    ]
    assert rows[0].endswith("tickets 0 0 -")
    assert "elements" in rows[2]


def test_what_the_settings_say(shop: Dashboard) -> None:
    """In words that the file's own can be found by."""
    page = words(shop.signed_in().get("/admin/partners/SHOP").text)

    for sentence in (
        "switched off",
        "https://tickets.shop.example",
        "500 ms after the customer declines",
        "once the main product is bought, within 3 h",
        "counts as a decline 24 h after the purchase",
        "2 requests a second",
        "test key",
        "kept for 400 days",
        "optout-proxy keys retire shop-2026a",
    ):
        assert sentence in page
    assert "keys new" not in page  # two are the most


def test_no_secret_is_shown_whole(shop: Dashboard, keys: dict[str, str]) -> None:
    """What it begins with and its last four characters; of the insurer's nothing."""
    page = shop.signed_in("operator").get("/admin/partners/SHOP").text

    assert page.count("ots_live_…") == 2
    for name in ("shop-2026a", "shop-2026b"):
        assert f"ots_live_…{keys[name][-4:]}" in page
        assert keys[name][9:-4] not in page
        assert keys[name][-5:] not in page
    assert "sha256:…1234" in page
    assert "c0ffee" not in page
    assert keys["key"][-4:] not in page


def test_how_old_each_key_is(shop: Dashboard) -> None:
    """By the file that holds it; one that is gone is said to be."""
    page = shop.signed_in().get("/admin/partners/SHOP").text

    rows = {
        cells[0]: cells[1:]
        for row in re.findall(r"<tr>(.*?)</tr>", page, re.DOTALL)
        if (cells := [words(cell) for cell in re.findall(r"<t[hd].*?</t[hd]>", row, re.DOTALL)])
    }
    assert rows["shop-2026a"][1].endswith("7 days ago")
    assert not rows["shop-2026b"][1].endswith("days ago")
    assert rows["api_secret"] == ["gone", "its file is gone"]
    assert rows["api_key"][0] == "key"


def test_the_insurers_secrets_are_not_opened(shop: Dashboard, tmp_path: Path) -> None:
    """A pipe in the place of one would hold whoever opened it."""
    (tmp_path / "secrets" / "key").unlink()
    os.mkfifo(tmp_path / "secrets" / "key", 0o600)

    answer = shop.signed_in().get("/admin/partners/SHOP")

    assert answer.status_code == 200


def test_a_signing_key_that_can_not_be_read_is_said_to_be(shop: Dashboard, tmp_path: Path) -> None:
    """The page of the partner is where somebody would look."""
    (tmp_path / "secrets" / "shop-2026b").chmod(0o644)

    assert "can not be read" in shop.signed_in().get("/admin/partners/SHOP").text


def test_todays_numbers_of_a_partner(full: Dashboard) -> None:
    """Of its upstreams together, since midnight UTC."""
    counted(full, full.signed_in(), "/admin/partners")

    page = words(counted(full, full.signed_in(), "/admin/partners/LAMPLIGHT"))

    counting = full.admin.extensions["counting"].latest().value
    lines = counting.recent.get(counting.today, {})
    shown = sum(counts.shown for pair, counts in lines.items() if pair[0] == "LAMPLIGHT")
    assert (f"Shown {shown:,}" in page) or (not shown and "No offer was shown" in page)


@pytest.mark.parametrize("path", ["NOBODY", "..%2Fsettings", "%27%20or%201=1"])
def test_an_unknown_partner_is_not_there(viewer: Visitor, path: str) -> None:
    """With 404, and nothing of what was asked for in it."""
    answer = viewer.get(f"/admin/partners/{path}")

    assert answer.status_code == 404


def test_many_partners_come_in_pages(tmp_path: Path) -> None:
    """A hundred each, by name."""
    table = """[partners.P{0:03}.upstreams.u]
api = "xcover-offers"
partner_code = "P"
hmac = {{ api_key = "k", api_secret = "s" }}
"""
    top = "".join(table.format(number) for number in range(230))
    with a_dashboard(tmp_path, f"sqlite:///{tmp_path / 'o.db'}", top=top) as dashboard:
        visitor = dashboard.signed_in()
        seen: list[str] = []
        path: str | None = "/admin/partners"
        while path:
            page = visitor.get(path).text
            seen += re.findall(r'href="/admin/partners/([^"]+)"', page)
            path = next(iter(re.findall(r'href="(/admin/partners\?after=[^"]+)"', page)), None)

        assert seen == ["ACME", *(f"P{number:03}" for number in range(230))]
