"""`optout-proxy check --page`: a good page passes, and each broken one is told what is wrong."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy import __version__
from proxy.assets import folder
from proxy.cli.check import command as check
from proxy.page_check import Expected, judge
from proxy.visits import LIMIT, Visit
from tests.settings.broken_pages import BROKEN, GOOD, policy, swap, token
from tests.settings.home import Home
from tests.settings.page_shop import INTEGRITY, Shop, opened, serving_scripts
from tests.settings.shell import run


@pytest.fixture(scope="module")
def proxy() -> Iterator[str]:
    """A proxy that serves its released scripts; returns its address."""
    with serving_scripts(folder("static")) as address:
        yield address


@pytest.fixture
def shop(home: Home, proxy: str) -> Iterator[Shop]:
    """A shop with a good page."""
    with opened(home, proxy) as shop:
        yield shop


def findings(shop: Shop, *more: str) -> dict[str, str]:
    """Check the shop's page; return what was found, by code."""
    done = run(check, "--config", shop.home.config, "--page", f"{shop.url}/pay", "--json", *more)
    report = json.loads(done.stdout)
    found = {each["code"]: each["says"] for each in report["findings"]}

    assert done.exit_code == (1 if found else 0)
    assert report["ok"] == (not found)
    assert len(found) == len(report["findings"])
    return found


def test_a_good_page_passes(shop: Shop) -> None:
    """Exit status 0, and the version that was found."""
    done = run(check, "--config", shop.home.config, "--page", f"{shop.url}/pay")

    assert done.exit_code == 0, done.stdout
    assert done.stdout == f"page      ok: {shop.url}/pay has choice.js {__version__}\n"


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_page_is_told_exactly_what_is_wrong(shop: Shop, name: str) -> None:
    """One finding, its sentence, and exit status 1."""
    break_it, code, words = BROKEN[name]
    break_it(shop)

    found = findings(shop)

    assert list(found) == [code]
    assert words in found[code]


@pytest.mark.parametrize("name", GOOD)
def test_a_page_that_is_good_in_another_way_passes(shop: Shop, name: str) -> None:
    """What the documents allow is no finding."""
    GOOD[name](shop)

    assert findings(shop) == {}


def test_a_file_on_the_shops_own_host_passes(shop: Shop) -> None:
    """Where the tag has the released hash and names the proxy."""
    script = (folder("static") / "s" / __version__ / "choice.js").read_bytes()
    shop.others["/js/choice.js"] = (200, {"Content-Type": "text/javascript"}, script)
    swap(r'src="\S*"', 'src="/js/choice.js"')(shop)
    policy("script-src [^;]*", "script-src 'self'")(shop)

    assert list(findings(shop)) == ["endpoint_wrong"]
    swap("data-offer=", f'data-endpoint="{shop.proxy}" data-offer=')(shop)
    assert findings(shop) == {}


def test_a_file_on_the_shops_own_host_that_was_changed_is_seen(shop: Shop) -> None:
    """The hash in the tag is right, the bytes are not: a browser would run nothing."""
    shop.others["/js/choice.js"] = (200, {}, b"alert(1)")
    swap(r'src="\S*"', f'data-endpoint="{shop.proxy}" src="/js/choice.js"')(shop)
    policy("script-src [^;]*", "script-src 'self'")(shop)

    assert list(findings(shop)) == ["script_changed"]


def test_changed_bytes_at_the_proxy_are_seen(home: Home, tmp_path: Path) -> None:
    """What the proxy's address serves is compared with the release, not with the proxy's list."""
    planted = tmp_path / "static" / "s" / __version__
    planted.mkdir(parents=True)
    (planted / "choice.js").write_bytes(b"alert(1)")

    with serving_scripts(tmp_path / "static") as proxy, opened(home, proxy) as shop:
        found = findings(shop)

    assert list(found) == ["script_changed"]
    assert "before you mend it" in found["script_changed"]


def test_a_proxy_that_does_not_serve_the_script_is_seen(home: Home, tmp_path: Path) -> None:
    """The page is right and gets nothing."""
    with serving_scripts(tmp_path) as proxy, opened(home, proxy) as shop:
        assert "answered 404" in findings(shop)["script_unread"]


def test_a_proxy_that_is_away_is_seen(home: Home, tmp_path: Path) -> None:
    """The page is judged all the same."""
    with serving_scripts(tmp_path) as proxy:
        pass
    with opened(home, proxy) as shop:
        assert list(findings(shop)) == ["script_unread"]


def test_a_packed_page_is_read(shop: Shop) -> None:
    """Some hosts pack whatever was asked for."""
    shop.page = gzip.compress(shop.page)
    shop.headers["Content-Encoding"] = "gzip"

    assert findings(shop) == {}


@pytest.mark.parametrize("packed", [False, True])
def test_a_page_without_end_is_given_up(shop: Shop, packed: bool) -> None:  # noqa: FBT001
    """Whether it is large on the wire or only when unpacked."""
    shop.page = b" " * (LIMIT + 1)
    if packed:
        shop.page = gzip.compress(shop.page)
        shop.headers["Content-Encoding"] = "gzip"

    assert list(findings(shop)) == ["page_unread"]


def test_a_redirect_on_the_same_host_is_followed(shop: Shop) -> None:
    """The report names the page that was read."""
    shop.others["/start"] = (302, {"Location": "/pay"}, b"")

    done = run(check, "--config", shop.home.config, "--page", f"{shop.url}/start")

    assert f"ok: {shop.url}/pay" in done.stdout


def test_the_body_of_a_redirect_is_not_read(shop: Shop) -> None:
    """However large it would be when unpacked."""
    bomb = gzip.compress(b" " * (LIMIT * 20))
    shop.others["/start"] = (302, {"Location": "/pay", "Content-Encoding": "gzip"}, bomb)

    done = run(check, "--config", shop.home.config, "--page", f"{shop.url}/start")

    assert f"ok: {shop.url}/pay" in done.stdout


def test_headers_go_to_the_page_and_not_to_the_script(shop: Shop) -> None:
    """A checkout is shown to whoever has a cart."""
    assert findings(shop, "--header", "Cookie: cart=1") == {}
    assert [asked.get("Cookie") for asked in shop.asked] == ["cart=1"]


def test_the_report_lists_the_scripts_and_the_policies(shop: Shop) -> None:
    """What an inventory needs, and what a weekly comparison compares."""
    swap("</body>", '<script src="/shop.js"></script></body>')(shop)

    done = run(check, "--config", shop.home.config, "--page", f"{shop.url}/pay", "--json")
    report = json.loads(done.stdout)

    assert report["scripts"] == [f"{shop.proxy}/s/{__version__}/choice.js", f"{shop.url}/shop.js"]
    assert report["policies"] == [shop.policy()]
    assert report["at"].endswith("Z")


def test_no_token_is_printed(shop: Shop) -> None:
    """A report may be mailed around."""
    token(lambda shop: shop.token(age=7200))(shop)

    done = run(check, "--config", shop.home.config, "--page", f"{shop.url}/pay", "--json")

    assert "acme-2026a." not in done.stdout


@pytest.mark.parametrize(
    "words",
    [
        ["--page", "http://shop.example/pay"],
        ["--page", "ftp://shop.example/"],
        ["--page", "https://user:word@shop.example/"],
        ["--page", "https://shop.example/", "--header", "Cookie"],
        ["--header", "Cookie: cart=1"],
        ["--page", "https://shop.example/", "--online"],
    ],
)
def test_a_wrong_use_is_refused(home: Home, words: list[str]) -> None:
    """One sentence, exit status 2, and nothing is asked."""
    done = run(check, "--config", home.config, *words)

    assert done.exit_code == 2
    assert done.stderr.count("\n") == 1


def test_no_secret_needs_to_be_there(shop: Shop) -> None:
    """The weekly check may run on a machine that has only the configuration file."""
    for secret in (shop.home.folder / "secrets").iterdir():
        secret.unlink()

    assert findings(shop) == {}


@pytest.mark.parametrize(
    ("markup", "says"),
    [
        ('<script src="http://cdn.example/a.js"></script>', "`<script>` uses http://cdn.example"),
        ('<form action="http://shop.example/pay"></form>', "`<form>` uses http://shop.example/pay"),
        ('<link rel="stylesheet" href="http://cdn.example/a.css">', "`<link>` uses"),
    ],
)
def test_what_a_page_takes_without_tls_is_named(home: Home, markup: str, says: str) -> None:
    """On a page that came over TLS."""
    headers = {"Content-Type": "text/html"}
    page = Visit("https://shop.example/pay", 200, headers, f"<html>{markup}</html>".encode())
    report = judge(page, Expected(home.load(), {__version__: INTEGRITY}, 0))

    mixed = [each.says for each in report.findings if each.code == "mixed_content"]

    assert len(mixed) == 1
    assert says in mixed[0]
