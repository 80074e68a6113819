"""Framing, media types, methods, addresses: what is judged before anything is read."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from tests.web.deployment import FORM, HOST, SHOP, Deployment, code_of

URL = f"https://{HOST}"
SAFE = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


@pytest.mark.parametrize(
    "media",
    [
        "",
        "text/plain",
        "text/plain;charset=UTF-8",
        "multipart/form-data; boundary=x",
        "application/x-www-form-urlencoded; charset=utf-16",
        "application/x-www-form-urlencoded; charset=latin1",
        "application/x-www-form-urlencoded; charset=utf-8; x=y",
        "application/x-www-form-urlencoded; boundary=x",
        "application/x-www-form-urlencoded, application/json",
        "application/json; charset=utf-7",
        "application/json+x",
        "application/octet-stream",
    ],
)
def test_other_media_are_refused(deployment: Deployment, media: str) -> None:
    """No reader but the two is ever started."""
    answer = deployment.page(headers={"Content-Type": media})

    assert (answer.status_code, code_of(answer)) == (415, "unsupported_media_type")


@pytest.mark.parametrize(
    "media",
    [
        FORM,
        f"{FORM};charset=UTF-8",
        f'{FORM} ; charset="utf-8"',
        "Application/X-WWW-Form-Urlencoded",
    ],
)
def test_a_form_has_several_spellings(deployment: Deployment, media: str) -> None:
    """What browsers and HTTP libraries write."""
    assert deployment.page(headers={"Content-Type": media}).status_code == 202


@pytest.mark.parametrize("coding", ["gzip", "br", "identity", "deflate, gzip"])
def test_nothing_is_unpacked(deployment: Deployment, coding: str) -> None:
    """A few bytes can not become many."""
    answer = deployment.page(headers={"Content-Encoding": coding})

    assert (answer.status_code, code_of(answer)) == (415, "unsupported_content_encoding")


@pytest.mark.parametrize("length", ["", "x", "-1", "+5", "1e3", "0x10", "5, 5", "\u0661"])
def test_the_length_must_be_said(deployment: Deployment, length: str) -> None:
    """A body without a length is not begun."""
    answer = deployment.client.post(
        "/v1/choices",
        headers={"Content-Type": FORM, "Origin": SHOP},
        base_url=URL,
        environ_overrides={"CONTENT_LENGTH": length},
    )

    assert (answer.status_code, code_of(answer)) == (411, "length_required")


@pytest.mark.parametrize(
    ("media", "path", "most"),
    [
        (FORM, "/v1/choices", 4_096),
        ("application/json", "/v1/choices", 16_384),
        ("application/json", "/v1/sessions", 16_384),
        ("application/x-ndjson", "/v1/choices/batch", 1_048_576),
    ],
)
def test_a_body_is_as_large_as_its_call_allows(
    deployment: Deployment, media: str, path: str, most: int
) -> None:
    """A byte more is refused before it is read."""
    headers = {"Content-Type": media, "Origin": SHOP} if media == FORM else {"Content-Type": media}
    sizes = (most, most + 1)
    answers = [
        deployment.client.post(path, data=b" " * size, headers=headers, base_url=URL)
        for size in sizes
    ]

    assert "body_too_large" not in str(code_of(answers[0]))
    assert (answers[1].status_code, code_of(answers[1])) == (413, "body_too_large")


CALLS = [
    ("/v1/choices", "POST"),
    ("/v1/choices/batch", "POST"),
    ("/v1/sessions", "POST"),
    ("/v1/offers/o-1", "GET"),
    ("/healthz", "GET"),
    ("/.well-known/choice-keys.json", "GET"),
    ("/.well-known/choice-scripts.json", "GET"),
]


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW"])
@pytest.mark.parametrize(("path", "right"), CALLS)
def test_a_wrong_method_is_told_the_right_one(
    deployment: Deployment, path: str, right: str, method: str
) -> None:
    """405 names what is allowed."""
    answer = deployment.client.open(path, method=method, base_url=URL)

    assert (code_of(answer) == "method_not_allowed") == (method != right)
    assert method == right or right in answer.headers["Allow"]


@pytest.mark.parametrize(("path", "right"), CALLS)
def test_head_and_options_are_sane(deployment: Deployment, path: str, right: str) -> None:
    """HEAD goes where GET goes, OPTIONS everywhere; neither has a body."""
    head = deployment.client.head(path, base_url=URL, headers=deployment.bearer())
    options = deployment.client.options(path, base_url=URL)

    assert (head.status_code == 405) == (right == "POST")
    assert (options.status_code, options.data) == (204, b"")
    assert "Content-Type" not in options.headers
    assert right in options.headers["Allow"]


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "//v1/choices",
        "///v1/choices",
        "/v1//choices",
        "/v1/choices/",
        "/V1/choices",
        "/v1/choices;x",
        "/v1/%63hoices",
        "/v1/choices%00",
        "/v1/x/..%2fchoices",
        "/v1/./choices",
        "/v1/x/../choices",
        "/v1/choices%3fx",
        "/v1",
        "/v2/choices",
        "/v1/declines",
        "/.git/HEAD",
        "/.env",
        "/console",
        "/debug",
        "/static/..%2fapp.py",
        "/static/choice.js",
        "/admin/",
        "/metrics",
        "/readyz",
        "/openapi.yaml",
        "/s/9.9.9/choice.js",
        "/s/latest/choice.js",
        "/s/1.0.0/..%2f..%2fapp.py",
        "/s/1.0.0/",
        "/s/",
        "/healthz/",
        "/favicon.ico",
        "/robots.txt",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_is_not_there_is_not_found(deployment: Deployment, path: str, method: str) -> None:
    """Never a redirect: a POST would lose its body on the way, or send it twice."""
    raw = {"RAW_URI": path, "REQUEST_URI": path}
    answer = deployment.client.open(path, method=method, base_url=URL, environ_overrides=raw)
    is_script = path.startswith("/s/") and path.endswith("/choice.js") and method == "POST"

    assert code_of(answer) == ("method_not_allowed" if is_script else "not_found")


@pytest.mark.parametrize("target", ["https://proxy.example/v1/choices", "*", "proxy.example:443"])
def test_a_target_is_a_path(deployment: Deployment, target: str) -> None:
    """The absolute form overrides Host for some readers and not for others."""
    answer = deployment.client.post(
        "/v1/choices", base_url=URL, environ_overrides={"RAW_URI": target}
    )

    assert (answer.status_code, code_of(answer)) == (400, "host_not_allowed")


def test_a_fragment_is_no_part_of_a_target(deployment: Deployment) -> None:
    """No client sends one; some servers cut it off."""
    raw = {"RAW_URI": "/v1/choices#x"}
    answer = deployment.client.post("/v1/choices", base_url=URL, environ_overrides=raw)

    assert code_of(answer) == "not_found"


@pytest.mark.parametrize(
    "host", ["evil.com", "proxy.example.", "proxy.example:8443", "PROXY.example", "", "a,b"]
)
def test_another_host_is_refused(deployment: Deployment, host: str) -> None:
    """Nobody can point a name of their own at us; what is there does not matter."""
    answers = [
        deployment.client.open(path, method=method, base_url=URL, headers={"Host": host})
        for path, method in [("/v1/choices", "POST"), ("/v1/choices", "GET"), ("/none", "GET")]
    ]

    assert {code_of(answer) for answer in answers} == {"host_not_allowed"}


def test_a_load_balancer_needs_no_host(deployment: Deployment) -> None:
    """It asks by address."""
    answer = deployment.client.get("/healthz", headers={"Host": "10.0.0.7:8080"})

    assert (answer.status_code, json.loads(answer.text)) == (200, {"healthy": True})


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-Host": "evil.com", "X-Forwarded-For": "127.0.0.1"},
        {"X-Original-URL": "/metrics", "X-Rewrite-URL": "/metrics", "X-Forwarded-Uri": "/healthz"},
        {"X-Forwarded-Prefix": "/v1", "X-Forwarded-Proto": "http"},
        {"X-HTTP-Method-Override": "GET"},
    ],
)
def test_forwarded_headers_change_nothing(deployment: Deployment, headers: dict[str, str]) -> None:
    """What a call is, its own line says."""
    assert deployment.page(headers=headers).status_code == 202


def test_a_probe_must_prove_itself_too(deployment: Deployment) -> None:
    """No user agent is exempt."""
    answer = deployment.page({"choice": "declined"}, headers={"User-Agent": "kube-probe/1.30"})

    assert code_of(answer) == "token_missing"


@pytest.mark.parametrize("path", ["/v1/choices", "/v1/offers/o-1", "/none", "/healthz"])
def test_every_answer_is_kept_by_nobody(deployment: Deployment, path: str) -> None:
    """No cache, no sniffing, no referrer; no cookie and no name of a server."""
    answer = deployment.get(path)

    assert {name: answer.headers[name] for name in SAFE} == SAFE
    assert "Set-Cookie" not in answer.headers
    assert "Server" not in answer.headers
    assert (answer.headers.get("Vary") == "Origin") == path.startswith("/v1/")


def test_refusals_are_counted(deployment: Deployment, registry: CollectorRegistry) -> None:
    """By their code."""
    deployment.get("/none")
    deployment.get("/none")

    assert registry.get_sample_value("proxy_refused_total", {"code": "not_found"}) == 2


# Faults in the order in which they are judged: each has all of those after it, too.
ORDER: list[tuple[str, dict[str, Any]]] = [
    ("host_not_allowed", {"host": "evil.com"}),
    ("method_not_allowed", {"method": "PUT"}),
    ("length_required", {"environ": {"HTTP_TRANSFER_ENCODING": "chunked"}}),
    ("unsupported_media_type", {"media": "text/plain"}),
    ("body_too_large", {"body": "x" * 4097}),
    ("invalid_request", {"body": "token=x&id=1&reason=x"}),
    ("token_malformed", {"token": "x"}),
    ("origin_not_allowed", {"origin": "https://evil.example"}),
    ("invalid_request", {"id": "1"}),
]


@pytest.mark.parametrize("first", range(len(ORDER)), ids=lambda first: f"{first}-{ORDER[first][0]}")
def test_faults_are_judged_in_a_fixed_order(deployment: Deployment, first: int) -> None:
    """Host, method, framing, media type, size, names, token, origin, values."""
    parts: dict[str, Any] = {}
    for _, part in reversed(ORDER[first:]):
        parts |= part
    answer = _sent(deployment, parts)

    assert code_of(answer) == ORDER[first][0]


def _sent(deployment: Deployment, parts: Mapping[str, Any]) -> Any:
    token = parts.get("token") or deployment.mint()
    return deployment.client.open(
        "/v1/choices",
        method=parts.get("method", "POST"),
        data=parts.get("body") or f"token={token}&choice=declined&id={parts['id']}&seq=1&at=1",
        headers={
            "Content-Type": parts.get("media", FORM),
            "Origin": parts.get("origin", SHOP),
            "Host": parts.get("host", HOST),
        },
        base_url=URL,
        environ_overrides=parts.get("environ", {}),
    )
