"""What else can be done with bytes, headers and addresses: a second table, by what is tried."""

from tests.attacks.cases import Case, refused, taken, unread
from tests.attacks.mapping_wire import raw
from tests.attacks.target import FORM, SHOP, Target
from tests.attacks.wire import Answer, a_request
from tests.faults.cluster import HOST

_HOSTS = (
    f"{HOST}:80",
    f"{HOST}:443",
    f"{HOST}.",
    HOST.upper(),
    f"a@{HOST}",
    f"{HOST}/x",
    f"{HOST}, evil.com",
    f"evil.com#{HOST}",
    f"x.{HOST}",
    f"{HOST}\t.evil.com",
    "[::1]",
    "",
)
_METHODS = ("GET", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND", "M-SEARCH")
_OVERRIDES = {
    "X-HTTP-Method-Override": "POST",
    "X-HTTP-Method": "POST",
    "X-Method-Override": "POST",
}
_CODINGS = (
    "xchunked",
    "chunked, chunked",
    "chunked;q=1",
    "chunked\x0b",
    "\x0bchunked",
    '"chunked"',
)
_PATHS = (
    "/v1/choices.",
    "/v1/choices%20",
    "/v1/choices/..",
    "/v1/../v1/choices",
    "/v1/%2e%2e/v1/choices",
    "/v1%2fchoices",
    "/v1\\choices",
    "/v1/choices%3Ftoken=a",
    "/v1/choices;token=a",
    "/v1/choices%0d%0aX:%20y",
    "/v1/choices%c0%af",
    "/v1/choices%ff",
    "/./v1/choices",
    "/v1/CHOICES",
    "/v2/choices",
    "/",
)
_SCRIPTS = (
    "/s/1.0.0/choice.js/",
    "/s/1.0.0/CHOICE.JS",
    "/s/01.0.0/choice.js",
    "/s/1.0.0%00/choice.js",
    "/s//1.0.0/choice.js",
    "/s/1.0.0;x/choice.js",
    "/s/%31.0.0/choice.js",
    "/s/1.0.0/choice.js%3f",
    "/s/1.0.0/choice.min.js",
)


def _twice(target: Target, name: str, *values: str) -> bytes:
    """Return a page's good request with header *name* once for each of *values*."""
    good = target.page(headers={name: None})
    more = "".join(f"{name}: {value}\r\n" for value in values)
    return good.replace(b"\r\n", b"\r\n" + more.encode("latin-1"), 1)


def _chunked(target: Target, *chunks: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    """Return a page's good form in chunks."""
    head, _, body = target.page(headers={"Content-Length": None}).partition(b"\r\n\r\n")
    sent = chunks or (b"%x\r\n%b\r\n" % (len(body), body),)
    return head + b"\r\nTransfer-Encoding: chunked\r\n\r\n" + b"".join(sent) + end


def _is_whole(_: Target, answer: Answer) -> None:
    """No range, no condition, no coding changes a byte of a released file."""
    assert len(answer.body) == int(answer.header("content-length") or 0) > 1000
    assert answer.header("content-encoding") is None
    assert answer.header("content-range") is None


def _has_no_body(_: Target, answer: Answer) -> None:
    assert answer.body == b""


def _early_end(target: Target) -> list[bytes]:
    """Return requests that end before their body does, in the middle of a field's name too."""
    good = target.page()
    body = good.partition(b"\r\n\r\n")[2]
    return [good[:-1], good[: -len(body) // 2], good[: -len(body)], target.server()[:-1]]


def _continued(target: Target) -> list[bytes]:
    """Return requests that ask for leave to send a body that nobody wants."""
    headers = {"Expect": "100-continue"}
    return [target.page(token="x", headers=headers), target.page(headers=headers, body=b"token=x")]


def _keys_with_controls(target: Target) -> list[bytes]:
    key = target.bearer()
    return [
        target.server(headers={"Authorization": value})
        for value in (f"{key}\x00", f"{key}\x01", f"{key}\nX: y", f"{key}\r", f"\x7f{key}\x00")
    ]


def _misplaced(target: Target) -> list[bytes]:
    """Return requests with a token where the parser looks for something else."""
    end = f"Host: {HOST}\r\n\r\n"
    lines = ("{token} /x HTTP/1.1\r\n", "GET / {token}\r\n", "GET / HTTP/1.1\r\n{token}\r\n")
    return [(line.format(token=target.token()) + end).encode() for line in lines]


ATTEMPTS: dict[str, Case] = {
    "two origins in two headers": refused(
        "origin_not_allowed",
        lambda t: [_twice(t, "Origin", SHOP, SHOP), _twice(t, "Origin", SHOP, "https://evil.com")],
    ),
    "two media types in two headers": unread(
        lambda t: _twice(t, "Content-Type", FORM, "application/json")
    ),
    "two server keys in two headers": refused(
        "server_key_invalid",
        lambda t: t.server(headers={"Authorization": f"Bearer x\r\nAuthorization: {t.bearer()}"}),
    ),
    "two lengths in two headers": unread(
        lambda t: [_twice(t, "Content-Length", *pair) for pair in (("5", "6"), ("5", "5"))]
    ),
    "a length in other digits": unread(
        lambda t: [
            t.page(headers={"Content-Length": length})
            for length in ("\xb2", "1e2", "0b1", "1 2", "5;x", "1.0", "5\x00")
        ]
    ),
    "no length and a body": refused(
        "length_required", lambda t: t.page(headers={"Content-Length": None})
    ),
    "an empty length": unread(lambda t: t.page(headers={"Content-Length": ""})),
    "a coding that some call chunked": tuple(
        unread(raw(f"Transfer-Encoding: {coding}", body="0\r\n\r\n"), 400, 501)
        for coding in _CODINGS
    ),
    "chunks, well made": refused(
        "length_required",
        lambda t: [
            _chunked(t),
            _chunked(t, end=b"0\r\nX-Trailer: y\r\n\r\n"),
            _chunked(t, b"1;x=y\r\na\r\n"),
            _chunked(t).replace(b": chunked", b": gzip, chunked"),
        ],
    ),
    "chunks, badly made": refused(
        "length_required",
        lambda t: [
            _chunked(t, b"zz\r\n"),
            _chunked(t, b"-1\r\na\r\n"),
            _chunked(t, b"ffffffffffffffffffff\r\na"),
            _chunked(t, b"5\r\na"),
        ],
    ),
    "chunks and a length of nothing": unread(
        raw("Content-Length: 0", "Transfer-Encoding: chunked")
    ),
    "a second request hidden in a refused body": refused(
        "not_found", lambda t: t.page(path="/none", body=t.page())
    ),
    "a body that ends early": refused("invalid_request", _early_end),
    "leave to go on, for nothing": refused("token_malformed", _continued),
    "controls in a header": unread(
        lambda t: [t.page(headers={"X-A": f"b{chr(one)}c"}) for one in (0, 10, 13)]
    ),
    "controls in the header that holds the server key": unread(_keys_with_controls),
    "a header's name that is none": unread(
        lambda t: [
            t.page(headers={name: "b"}) for name in ("X A", "X\x00A", "", "X\xe9", "(X)", "X\x7f")
        ]
    ),
    "a header that means to be a variable": taken(
        lambda t: [
            t.page(headers={name: "/x"})
            for name in ("SCRIPT-NAME", "PATH-INFO", "X-Script-Name", "REMOTE-ADDR", "Proxy")
        ]
    ),
    "a header with an underscore": taken(
        lambda t: [
            t.page(headers={name: "evil.com"})
            for name in ("SCRIPT_NAME", "HTTP_HOST", "X_Forwarded_For", "CONTENT_LENGTH", "Origin_")
        ]
    ),
    "a large header, and many": unread(
        lambda t: [
            t.page(headers={"X-A": "a" * 9_000}),
            t.page(headers={"a" * 9_000: "b"}),
            t.page(headers={f"X-{number}": "a" for number in range(65)}),
        ],
        400,
        431,
    ),
    "other spellings of the host": refused(
        "host_not_allowed", lambda t: [t.page(headers={"Host": host}) for host in _HOSTS]
    ),
    "another host behind our own": refused(
        "host_not_allowed",
        lambda t: t.page(headers={"Host": "evil.com", "X-Forwarded-Host": HOST, "X-Host": HOST}),
    ),
    "a target that is a whole address": refused(
        "host_not_allowed",
        lambda t: [
            t.page(path=f"https://{HOST}/v1/choices"),
            t.page(path=f"http://evil.com@{HOST}/v1/choices"),
            t.page(path="*", method="OPTIONS"),
        ],
    ),
    # The parser quotes to the caller what it could not read; the log must not.
    "a token where it does not belong": unread(_misplaced),
    "a tunnel": refused(
        "host_not_allowed", lambda _: a_request("CONNECT", "evil.com:443", [("Host", HOST)])
    ),
    "paths that some read as ours": refused(
        "not_found", lambda t: [t.page(path=path) for path in _PATHS]
    ),
    "offers that climb": refused(
        "not_found",
        lambda t: [
            t.get(f"/v1/offers/{offer}", Authorization=t.bearer())
            for offer in ("..", "%2e%2e", "a%0d%0aX:%20y", "a%00", "a/b", "a" * 65, "a;b", "%ff")
        ],
    ),
    "other methods": refused(
        "method_not_allowed",
        lambda t: (
            [t.page(method=method) for method in _METHODS]
            + [t.server(path="/v1/sessions", method="PUT"), t.get("/s/1.0.0/choice.js", "POST")]
            + [t.get("/healthz", "TRACE")]
        ),
    ),
    "a method that is none": unread(
        lambda t: [t.page(method=method) for method in ("post", "P", "PO ST", "P\x00ST", "\xffOST")]
    ),
    "a method in a header": refused(
        "method_not_allowed", lambda t: t.get("/v1/choices", **_OVERRIDES)
    ),
    "a method in a field": refused("invalid_request", lambda t: t.page(_method="DELETE")),
    "another protocol": (
        taken(
            lambda t: t.page(
                headers={"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "X": "y"}
            )
        ),
        unread(lambda _: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, 505),
        unread(lambda _: b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
        unread(lambda _: f"GET /healthz HTTP/9.9\r\nHost: {HOST}\r\n\r\n".encode(), 400, 505),
        unread(lambda _: f"GET /healthz HTTQ/1.1\r\nHost: {HOST}\r\n\r\n".encode()),
    ),
    "a part of the script, or the script if it has changed": taken(
        lambda t: [
            t.get("/s/1.0.0/choice.js", **{name: value})
            for name, value in (
                ("Range", "bytes=0-1"),
                ("Range", "bytes=999999999-"),
                ("Range", "bytes=" + "0-," * 1000),
                ("If_None_Match", "*"),
                ("If_Modified_Since", "Fri, 31 Dec 9999 23:59:59 GMT"),
                ("If_Range", "x"),
                ("Accept_Encoding", "gzip"),
                ("Accept", "image/png"),
            )
        ],
        status=200,
        then=_is_whole,
    ),
    "the script's head only": taken(
        lambda t: t.get("/s/1.0.0/choice.js", "HEAD"), status=200, then=_has_no_body
    ),
    "scripts that some read as released": refused(
        "not_found", lambda t: [t.get(path) for path in _SCRIPTS]
    ),
    "the private listener, moved in the path": refused(
        "not_found",
        lambda t: [
            t.get(path) for path in ("/metrics/", "/x/../metrics", "/metrics%00", "/readyz;x")
        ],
        private=True,
    ),
}
