"""Pages that are wrong in one way each, with what is said of them; and others that are right."""

import re
from collections.abc import Callable

from proxy import __version__
from tests.settings.page_shop import INTEGRITY, OFFER, Shop

Breaking = Callable[[Shop], None]


def swap(old: str, new: str) -> Breaking:
    """Return what replaces *old* in the good page by *new*."""

    def break_it(shop: Shop) -> None:
        text = shop.page.decode()
        assert re.search(old, text)
        shop.page = re.sub(old, new, text).encode()

    return break_it


def policy(old: str, new: str) -> Breaking:
    """Return what replaces *old* in the good policy by *new*."""

    def break_it(shop: Shop) -> None:
        text = shop.headers["Content-Security-Policy"]
        assert re.search(old, text)
        shop.headers["Content-Security-Policy"] = re.sub(old, new, text)

    return break_it


def token(make: Callable[[Shop], str]) -> Breaking:
    """Return what gives the page another token."""
    return lambda shop: swap('data-token="[^"]*"', f'data-token="{make(shop)}"')(shop)


def report_only(shop: Shop) -> None:
    """Turn the policy into one that only reports."""
    name = "Content-Security-Policy"
    shop.headers[f"{name}-Report-Only"] = shop.headers.pop(name)


def late_policy(shop: Shop) -> None:
    """Give the policy where browsers take no notice of it: in the body."""
    text = shop.headers.pop("Content-Security-Policy")
    swap("<body>", f'<body><meta http-equiv="Content-Security-Policy" content="{text}">')(shop)


def twice(shop: Shop) -> None:
    """Put the tag in a second time."""
    shop.page = shop.page.replace(b"</body>", f"{shop.good_tag()}</body>".encode())


def answering(status: int, **headers: str) -> Breaking:
    """Return what makes the page's address answer otherwise."""

    def break_it(shop: Shop) -> None:
        shop.status = status
        shop.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    return break_it


def other_kid(shop: Shop) -> str:
    """Return a token whose key nobody here has."""
    return "gone-2025a." + shop.token().partition(".")[2]


def other_audience(shop: Shop) -> str:
    """Return a token for another deployment."""
    text = shop.home.config.read_text("utf-8")
    shop.home.write(text.replace("optout-proxy:test", "optout-proxy:prod"))
    minted = shop.token()
    shop.home.write(text)
    return minted


def unlisted_origin(shop: Shop) -> None:
    """Take the shop's origin off the partner's list."""
    text = shop.home.config.read_text("utf-8")
    shop.home.write(text.replace(f'origins = ["{shop.url}"]', 'origins = ["https://shop.example"]'))


SELECT = (
    '<select name="cover"><option data-choice="declined">No</option><option>-</option></select>'
)

BROKEN: dict[str, tuple[Breaking, str, str]] = {
    "no tag": (swap("<script.*</script>", ""), "tag_missing", "put in what `optout-proxy snippet`"),
    "in a template": (
        swap("(<script.*</script>)", r"<template>\1</template>"),
        "tag_missing",
        "No script tag",
    ),
    "in a comment": (swap("(<script.*</script>)", r"<!-- \1 -->"), "tag_missing", "No script tag"),
    "two tags": (twice, "tag_twice", "there 2 times: leave one"),
    "latest": (swap(r"/s/[0-9.]+/", "/s/latest/"), "src_unknown", "which is no released script"),
    "a version to come": (swap(r"/s/[0-9.]+/", "/s/99.0.0/"), "src_unknown", "/s/99.0.0/choice.js"),
    "a query": (swap(r"choice\.js", "choice.js?v=2"), "src_unknown", "choice.js?v=2"),
    "no integrity": (swap(r'integrity="\S*"', ""), "integrity_missing", INTEGRITY),
    "another hash": (
        swap(r'integrity="\S*"', 'integrity="sha384-AAAA"'),
        "integrity_wrong",
        f"write `{INTEGRITY}`",
    ),
    "a weaker hash": (
        swap(r'integrity="\S*"', 'integrity="sha256-AAAA"'),
        "integrity_wrong",
        f"not the hash of version {__version__}",
    ),
    "one hash more": (
        swap(r'integrity="(\S*)"', r'integrity="\1 sha384-AAAA"'),
        "integrity_wide",
        "names 2 hashes",
    ),
    "no crossorigin": (swap('crossorigin="anonymous"', ""), "crossorigin_wrong", "add it"),
    "with credentials": (
        swap('crossorigin="anonymous"', 'crossorigin="use-credentials"'),
        "crossorigin_wrong",
        "can not check the hash",
    ),
    "no async": (swap("<script async", "<script"), "async_missing", "has no `async`"),
    "a module": (swap("<script", '<script type="module"'), "type_wrong", "from running"),
    "another endpoint": (
        swap("data-offer=", 'data-endpoint="https://thief.example" data-offer='),
        "endpoint_wrong",
        "https://thief.example: take it away",
    ),
    "another host in the policy": (
        policy("script-src [^;]*", "script-src https://other.example"),
        "policy_script",
        "to `script-src`",
    ),
    "strict-dynamic without a nonce": (
        policy("script-src ", "script-src 'strict-dynamic' 'nonce-abc' "),
        "policy_script",
        "Policy 1 of 1 keeps the script from running",
    ),
    "a second policy": (
        policy("$", ", script-src 'none'"),
        "policy_script",
        "Policy 2 of 2",
    ),
    "a sandbox": (policy("$", "; sandbox allow-forms"), "policy_script", "keeps the script"),
    "no connection": (policy("connect-src [^;]*", "connect-src 'self'"), "policy_connect", "`conn"),
    "no connection by default": (
        policy("connect-src [^;]*", ""),
        "policy_connect",
        "to `default-src`",
    ),
    "report only": (report_only, "policy_missing", "one that only reports is none"),
    "a policy in the body": (late_policy, "policy_missing", "Content-Security-Policy: script-src"),
    "any host": (policy("script-src ", "script-src https: http: "), "policy_missing", "which scri"),
    "no token": (token(lambda _: ""), "token_missing", "There is no `data-token`"),
    "half a token": (token(lambda shop: shop.token()[:-3]), "token_malformed", "can not be read"),
    "an old token": (token(lambda shop: shop.token(age=7200)), "token_expired", "1:30:00 ago"),
    "a token of tomorrow": (token(lambda s: s.token(age=-86_400)), "token_early", "in the future"),
    "another deployment": (token(other_audience), "token_audience", "is for `optout-proxy:prod`"),
    "an unknown key": (token(other_kid), "token_key", "No partner has a key `gone-2025a`"),
    "an unlisted origin": (unlisted_origin, "token_origin", "not among the origins of `ACME`"),
    "another origin": (
        token(lambda shop: shop.token(origin="https://shop.example")),
        "token_origin",
        "sign it for the page's own origin",
    ),
    "another offer": (
        token(lambda shop: shop.token(offer="OTHER-1")),
        "token_offer",
        f"the page names `{OFFER}`",
    ),
    "a secret": (token(lambda _: f"osk_live_{'A' * 43}"), "secret_exposed", "replace that secret"),
    "a set radio": (
        swap('data-choice="declined"', 'data-choice="declined" checked'),
        "selected_beforehand",
        "The control for `declined` (`<input>`)",
    ),
    "a box set by a label elsewhere": (
        swap(
            "<select",
            '<label data-choice="accepted" for="box">Yes</label>'
            '<input id="box" type="checkbox" checked><select',
        ),
        "selected_beforehand",
        "The control for `accepted`",
    ),
    "a selected option": (
        swap(
            "<select.*</select>",
            '<select size="3"><option>-<option data-choice="accepted" selected>Yes</select>',
        ),
        "selected_beforehand",
        "The control for `accepted` (`<option>`)",
    ),
    "a box set under its label": (
        swap("<select", '<label data-choice="accepted"><input type="checkbox" checked></label><se'),
        "selected_beforehand",
        "The control for `accepted`",
    ),
    "a select that begins with an answer": (
        swap("<select.*</select>", SELECT),
        "selected_beforehand",
        "(`<option>`)",
    ),
    "a pressed button": (
        swap("</form>", '<button data-choice="accepted" aria-pressed="true">Yes</button>'),
        "selected_beforehand",
        "(`<button>`)",
    ),
    "one answer": (swap('data-choice="declined"', ""), "choice_missing", "No control says `decl"),
    "another word": (
        swap("<select", '<a data-choice="rejected">No</a><select'),
        "choice_unknown",
        "write `accepted` or `declined`",
    ),
    "not found": (answering(404, Content_Type="text/html"), "page_unread", "404 and `text/html`"),
    "no page": (answering(200, Content_Type="application/json"), "page_unread", "application/json"),
    "another host": (
        answering(302, Location="https://login.example/"),
        "page_unread",
        "redirects to https://login.example/, which is another host",
    ),
    "in a circle": (answering(302, Location="/pay"), "page_unread", "more than 5 times"),
    "packed strangely": (
        answering(200, Content_Type="text/html", Content_Encoding="br"),
        "page_unread",
        "packed as `br`",
    ),
}

GOOD: dict[str, Breaking] = {
    "by hash": policy("script-src [^;]*", f"script-src '{INTEGRITY}'"),
    "by nonce": lambda shop: (
        policy("script-src [^;]*", "script-src 'nonce-abc' 'strict-dynamic'")(shop),
        swap("<script", '<script nonce="abc"')(shop),
    )[0],
    "by hash beside strict-dynamic": policy(
        "script-src [^;]*", f"script-src '{INTEGRITY}' 'strict-dynamic'"
    ),
    "by path": policy("script-src ([^;]*)", r"script-src \1/s/"),
    "by script-src-elem": policy("script-src ([^;]*)", r"script-src 'none'; script-src-elem \1"),
    "by a policy in the head": lambda shop: swap(
        "<!--head-->",
        '<meta http-equiv="content-security-policy" content="'
        + shop.headers.pop("Content-Security-Policy")
        + '">',
    )(shop),
    "a list of several lines that begins with an answer": swap(
        "<select.*</select>", '<select size="2"><option data-choice="declined">No<option>-</select>'
    ),
    "a select that begins with no answer": swap(
        "<select.*</select>",
        '<select><option value="">Please choose<option data-choice="declined">No</select>',
    ),
    "on the confirmation page": lambda shop: (
        swap("<script", '<script data-purchased="ORDER-1"')(shop),
        swap('data-choice="declined"', "")(shop),
    )[0],
    "by selectors": lambda shop: (
        swap("<script", '<script data-declined=".skip"')(shop),
        swap('data-choice="declined"', "")(shop),
    )[0],
    "several offers": lambda shop: (
        swap(f' data-token="([^"]*)" data-offer="{OFFER}"', "")(shop),
        swap("<form", f'<form data-offer="{OFFER}" data-token="{shop.token()}"')(shop),
    )[0],
}
