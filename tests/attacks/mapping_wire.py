"""HTTP: requests that two servers read differently, and headers that claim to be somebody."""

from contextlib import ExitStack

from tests.acceptance.deployment import PATIENCE_S
from tests.attacks.cases import Case, Make, Part, refused, taken, unread
from tests.attacks.target import SHOP, Target
from tests.attacks.wire import Answer, Talk
from tests.faults.cluster import HOST

_FORWARDED = {
    "X-Forwarded-For": "127.0.0.1",
    "X-Forwarded-Host": "evil",
    "X-Forwarded-Proto": "ftp",
    "X-Forwarded-Uri": "/healthz",
    "X-Forwarded-Prefix": "/admin",
    "Forwarded": "for=127.0.0.1;host=evil",
    "X-Real-IP": "127.0.0.1",
    "X-Original-URL": "/admin",
    "X-Rewrite-URL": "/admin",
    "X-HTTP-Method-Override": "GET",
}
_CROWD = 7 * 32
_PATHS = (
    "//v1/choices",
    "/v1/choices/",
    "/V1/choices",
    "/v1/%63hoices",
    "/v1/./choices",
    "/v1/choices;x",
    "/v1/choices%00",
    "/v1/x/../choices",
    "/v1/x/..%2fchoices",
    "/v1//choices",
)


def raw(*lines: str, body: str = "{}", start: str = "POST /v1/choices HTTP/1.1") -> Make:
    """Return what makes a request of *lines*; nothing is added but the Host."""
    text = "\r\n".join([start, f"Host: {HOST}", "Content-Type: application/json", *lines, "", body])
    return lambda _: text.encode("latin-1")


def _bytes(text: str) -> Make:
    return lambda _: text.replace("{host}", HOST).encode("latin-1")


def forwarded_for(code: str) -> Part:
    """Return the part that nobody hides behind other people's addresses: *code* in the end."""

    def part(target: Target) -> list[Answer]:
        """The limit of a network counts the peer, whatever each request says of itself."""

        def is_so() -> bool:
            (answer,) = target.hears(target.page(token=None))
            return answer.status == 429

        with target.changed(is_so, prefix="3/hour"):
            make = refused(
                code,
                lambda t: [
                    t.page(headers={"X-Forwarded-For": f"203.{number}.113.1"})
                    for number in range(5)
                ],
            )
            return make(target)

    return part


def _half_bodies(target: Target) -> list[Answer]:
    """Seven times as many halves of requests as there are threads: nobody else waits."""
    port = target.ports["web"][0]
    half = target.page()[:-40]
    with ExitStack() as stack:
        talks = [Talk(port, seconds=PATIENCE_S) for _ in range(_CROWD)]
        for talk in talks:
            stack.callback(talk.rest)
            talk.say(half)
        health = target.hears(target.get("/healthz"), seconds=PATIENCE_S)
        good = target.hears(target.page(), seconds=PATIENCE_S)
        cut = [answer for talk in talks for answer in talk.rest(half_close=False)]
        stack.pop_all()
    assert [answer.status for answer in health + good] == [200, 202]
    target.heard += cut
    assert [answer.verdicts() for answer in cut] == [{(408, "request_timeout")}] * _CROWD
    return health + good + cut


def _two_on_one(target: Target) -> list[Answer]:
    """What follows a body is a request of its own, with its own Host: one answer for each."""
    second = b"GET /admin/ HTTP/1.1\r\nHost: x\r\n\r\n"
    first, last = target.hears(target.server(body=b"{}"), second, seconds=PATIENCE_S)
    assert first.verdicts() == {(400, "invalid_request")}
    assert last.verdicts() == {(400, "host_not_allowed")}
    return [first, last]


CASES: dict[str, Case] = {
    "HTTP-01": unread(raw("Content-Length: 6", "Transfer-Encoding: chunked", body="0\r\n\r\nG")),
    "HTTP-02": unread(
        raw(
            "Content-Length: 4",
            "Transfer-Encoding: chunked",
            body="5c\r\nGPOST / HTTP/1.1\r\n\r\n0\r\n\r\n",
        )
    ),
    "HTTP-04": unread(raw("Transfer-Encoding : chunked", body="0\r\n\r\n")),
    "HTTP-05": unread(raw("Transfer-Encoding: chunked, identity", body="0\r\n\r\n"), 400, 501),
    "HTTP-07": tuple(
        unread(raw(f"Content-Length: {length}")) for length in ("+2", "-1", "0x2", "2, 2", "2_0")
    ),
    "HTTP-08": refused("length_required", raw("Content-Length: 99999999999999999999")),
    "HTTP-10": unread(_bytes("POST /v1/choices HTTP/1.1\nHost: x\nContent-Length: 2\n\n{}")),
    "HTTP-11": unread(raw("X-A: b", " c", "Content-Length: 2")),
    "HTTP-13": unread(raw("Host: a", "Host: b", "Content-Length: 2")),
    "HTTP-14": refused(
        "host_not_allowed", _bytes("POST /v1/choices HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}")
    ),
    "HTTP-16": unread(_bytes("GET /healthz\r\n\r\n")),
    "HTTP-17": unread(_bytes(f"GET /{'a' * 9000} HTTP/1.1\r\nHost: {{host}}\r\n\r\n"), 400, 414),
    "HTTP-19": unread(
        raw(*(f"X-{number}: a" for number in range(200)), "Content-Length: 2"), 400, 431
    ),
    "HTTP-20": _two_on_one,
    "HTTP-22": (
        taken(lambda t: t.page(headers=_FORWARDED)),
        forwarded_for("rate_limited"),
    ),
    "HTTP-23": refused(
        "token_missing",
        lambda t: [
            t.page(token=None, headers={"User-Agent": agent})
            for agent in ("kube-probe/1.30", "GoogleHC/1.0", "ELB-HealthChecker/2.0")
        ],
    ),
    "HTTP-25": refused("not_found", lambda t: [t.page(path=path) for path in _PATHS]),
    "HTTP-26": _half_bodies,
    "HTTP-28": refused("host_not_allowed", lambda t: t.page(headers={"Host": "evil.com"})),
    "HTTP-29": unread(lambda t: t.page(headers={"Expect": "200-maybe", "Origin": SHOP}), 417),
}
