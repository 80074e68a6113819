"""Content-Security-Policy, rule by rule: https://www.w3.org/TR/CSP3/ says what is right."""

import pytest

from proxy.policies import Tag, connects, is_open, runs, split

PAGE = "https://shop.example/pay"
SCRIPT = "https://proxy.shop.example/s/1.0.0/choice.js"
TAG = Tag(SCRIPT, "sha384-abc", "")

# The sources of a policy, and whether they name the script.
SOURCES = {
    "'none'": False,
    "*": True,
    "https:": True,
    "http:": True,
    "wss:": False,
    "'self'": False,
    "'unsafe-inline'": False,
    "https://proxy.shop.example": True,
    "HTTPS://PROXY.SHOP.EXAMPLE": True,
    "http://proxy.shop.example": True,
    "proxy.shop.example": True,
    "proxy.shop.example:443": True,
    "proxy.shop.example:80": True,
    "proxy.shop.example:*": True,
    "proxy.shop.example:8443": False,
    "*.shop.example": True,
    "*.proxy.shop.example": False,
    "*.example": True,
    "shop.example": False,
    "https://proxy.shop.example/": True,
    "https://proxy.shop.example/s/": True,
    "https://proxy.shop.example/s": False,
    "https://proxy.shop.example/s/1.0.0/choice.js": True,
    "https://proxy.shop.example/s/1.0.0/": True,
    "https://proxy.shop.example/s/1.0.1/": False,
    "https://proxy.shop.example/%73/": True,
    "'sha384-abc'": True,
    "'sha384-ABC'": False,
    "'nonce-'": False,
    "'sha384-abc' 'strict-dynamic'": True,
    "https://proxy.shop.example 'strict-dynamic'": False,
    "": False,
}


@pytest.mark.parametrize("sources", SOURCES)
def test_a_source_names_the_script_or_does_not(sources: str) -> None:
    """As the browser would judge it."""
    (policy,) = split([f"script-src {sources}"])

    assert runs(policy, PAGE, TAG) == SOURCES[sources]


def test_every_hash_of_the_tag_must_be_named() -> None:
    """Else bytes could pass that the policy does not know."""
    (policy,) = split(["script-src 'sha384-abc'"])

    assert not runs(policy, PAGE, Tag(SCRIPT, "sha384-abc sha384-other", ""))


def test_a_nonce_is_compared_to_the_letter() -> None:
    """Its case counts."""
    (policy,) = split(["script-src 'nonce-Abc'"])

    assert runs(policy, PAGE, Tag(SCRIPT, "", "Abc"))
    assert not runs(policy, PAGE, Tag(SCRIPT, "", "abc"))


def test_the_page_itself_is_named_by_self() -> None:
    """With its port: another one is another host."""
    (policy,) = split(["connect-src 'self'"])

    assert connects(policy, PAGE, "https://shop.example/v1/choices")
    assert connects(policy, PAGE, "https://shop.example:443/v1/choices")
    assert not connects(policy, PAGE, "https://shop.example:8443/v1/choices")
    assert connects(policy, "http://127.0.0.1:5000/", "http://127.0.0.1:5000/v1/choices")
    assert not connects(policy, "http://127.0.0.1:5000/", "http://127.0.0.1:5001/v1/choices")


@pytest.mark.parametrize(
    ("text", "run", "connect"),
    [
        ("default-src 'none'", False, False),
        ("default-src *; script-src 'none'", False, True),
        ("script-src-elem *; script-src 'none'; default-src 'none'", True, False),
        ("script-src 'none'; script-src *", False, True),
        ("img-src 'none'", True, True),
        ("sandbox", False, True),
        ("sandbox allow-scripts", True, True),
    ],
)
def test_the_nearest_directive_decides(text: str, run: bool, connect: bool) -> None:  # noqa: FBT001
    """And of two that are called the same, the first one."""
    (policy,) = split([text])

    assert runs(policy, PAGE, TAG) == run
    assert connects(policy, PAGE, SCRIPT) == connect


def test_a_header_may_hold_several_policies() -> None:
    """Each counts for itself; what is empty is none."""
    found = list(split(["script-src 'none', default-src *;", "", " , img-src *"]))

    assert [list(policy) for policy in found] == [["script-src"], ["default-src"], ["img-src"]]


@pytest.mark.parametrize(
    ("text", "is_wide"),
    [
        ("img-src 'none'", True),
        ("script-src https:", True),
        ("default-src *", True),
        ("script-src https: 'nonce-a' 'strict-dynamic'", False),
        ("script-src 'self'", False),
    ],
)
def test_a_policy_that_lets_any_hosts_script_run_is_open(text: str, is_wide: bool) -> None:  # noqa: FBT001
    """Such a one protects nothing."""
    (policy,) = split([text])

    assert is_open(policy) == is_wide
