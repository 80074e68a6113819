"""A form can be read in one way only."""

import pytest

from proxy.errors import Problem
from proxy.web.forms import parse
from tests.web.deployment import Deployment, code_of

KNOWN = frozenset({"a", "b"})


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        pytest.param(b"", {}, id="empty"),
        pytest.param(b"a=1&b=2", {"a": "1", "b": "2"}, id="plain"),
        pytest.param(b"a=&b=", {"a": "", "b": ""}, id="empty-values"),
        pytest.param(b"a=x%2Fy%2bz+w", {"a": "x/y+z w"}, id="escapes"),
        pytest.param(b"%61=%C3%A9", {"a": "é"}, id="utf-8-in-escapes"),
        pytest.param(b"a=%00", {"a": "\0"}, id="nul-is-for-the-field-to-refuse"),
    ],
)
def test_what_a_browser_writes_is_read(body: bytes, fields: dict[str, str]) -> None:
    """The urlencoded serialiser of the URL standard is understood."""
    assert parse(body, KNOWN) == fields


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"c=1", id="unknown"),
        pytest.param(b"A=1", id="other-case"),
        pytest.param(b"a=1&a=1", id="repeated"),
        pytest.param(b"a=1&%61=1", id="repeated-by-escape"),
        pytest.param(b"a[]=1", id="array"),
        pytest.param(b"a", id="no-value"),
        pytest.param(b"=1", id="no-name"),
        pytest.param(b"a=1&", id="empty-last-pair"),
        pytest.param(b"a=1&&b=2", id="empty-pair"),
        pytest.param(b"a=1=2", id="two-equal-signs"),
        pytest.param(b"a=1;b=2", id="semicolon-is-no-separator"),
        pytest.param(b"a=%", id="cut-escape"),
        pytest.param(b"a=%4", id="half-escape"),
        pytest.param(b"a=%zz", id="no-hex"),
        pytest.param(b"a=%FF", id="no-utf-8"),
        pytest.param(b"a=%C0%AF", id="overlong"),
        pytest.param(b"a=%ED%A0%80", id="surrogate"),
        pytest.param("a=é".encode(), id="raw-utf-8"),
        pytest.param(b"a=\xe9", id="raw-latin-1"),
        pytest.param(b"a=x y", id="raw-space"),
        pytest.param(b"a=1\r\n", id="line-end"),
        pytest.param(b"\x00", id="nul"),
        pytest.param(b'{"a":1}', id="json"),
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(body: bytes) -> None:
    """Whoever writes a form otherwise than browsers do wants us to misread it."""
    with pytest.raises(Problem) as refused:
        parse(body, KNOWN)

    assert refused.value.code == "invalid_request"


@pytest.mark.parametrize("body", [b"token=x&choice=declined&choice=accepted", b"token=x&reason=y"])
def test_a_form_is_judged_before_its_token(deployment: Deployment, body: bytes) -> None:
    """Names of fields come before the token."""
    assert code_of(deployment.page(body)) == "invalid_request"
