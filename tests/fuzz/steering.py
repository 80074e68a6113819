"""Who tries to send a signed report elsewhere: ids, bases, headers and the insurer's answers.

A trial says something nasty to the public listener, sends what was recorded to a stand-in of the
insurer, has it answer something nasty, and looks at what arrived there and at a bait beside it.
"""

import hmac
import random
import re
from base64 import b64encode
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from proxy.choices import Message
from proxy.credentials import credentials_for
from proxy.secret import Secret
from proxy.sender import Sender
from proxy.settings_upstreams import HmacSetting, UpstreamSetting
from proxy.upstreams import APIS, UnsafeUrl, body_for
from tests.fuzz.lines import deployment
from tests.fuzz.stand_in import Heard, Said, StandIn
from tests.upstream.builders import KEY, PASSWORD, a_delivery, an_upstream
from tests.web.deployment import OTHER_SHOP, Deployment
from tests.web.memory import MemoryIntake

GOOD = "a1b2c3d4-0000-4000-8000-000000000001"
NASTY = (
    *("..", ".", "/", "//", "\\", "%2e%2e", "%2f", "%5c", "%00", "%0d%0a", "%23", "%", "@", ":"),
    *(";", "#", "?", "&", "=", "*", "+", "{offer}", "{partner_code}", "\r\n", "\n", "\0", "\t"),
    *(" ", "[", "]", "é", "\u202e", "\uff0f", "\uff0e", "\u2100", "\u3002", "\ud800", "%c0%af"),
    *("a", "Z", "-", "0", GOOD, "x" * 64, "\r\nHost: bait", "HTTP/1.1", "instalments", "confirm"),
)
# What may be asked for at the insurer's, written down here once more: the product has its own.
PATHS = {
    "xcover-offers": "/partners/{code}/offers/{offer}/opt_out/",
    "xone-offers": "/api/partners/{code}/offers/{offer}/opt-out",
    "xone-quotes": "/api/partners/{code}/quotes/{offer}/opt-out",
}
UPSTREAMS = {"tickets": "xcover-offers", "elements": "xone-offers", "quotes": "xone-quotes"}
STATUSES = (300, 301, 302, 303, 305, 307, 308, 401, 407, 421, 426, 100, 101, 200, 204, 404, 503)
POINTERS = ("Location", "Refresh", "Content-Location", "Alt-Svc", "Link", "Set-Cookie", "Upgrade",
            "WWW-Authenticate", "Proxy-Authenticate", "Connection", "Keep-Alive")  # fmt: skip
SPOOFS = ("X-Forwarded-Host", "X-Forwarded-Prefix", "X-Original-URL", "X-Rewrite-URL", "Forwarded",
          "X-Host", "Referer", "Via", "X-HTTP-Method-Override", "Proxy", "Destination")  # fmt: skip
_ID = re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII)
_SIGNATURE = re.compile(
    r'Signature keyId="([^"]*)",algorithm="hmac-sha512",'
    r'headers="\(request-target\) date",signature="([^"]*)"'
)


def nasty(dice: random.Random, most: int = 4) -> str:
    """Return a text of a few pieces that some reader somewhere takes for more than text."""
    return "".join(dice.choices(NASTY, k=dice.randint(1, most)))


@dataclass
class Steering:
    """The product in the middle, an insurer and a bait at its end."""

    insurer: StandIn
    bait: StandIn
    proxy: Deployment = field(default_factory=deployment)
    sender: Sender = field(default_factory=lambda: Sender(audience="optout-proxy:test"))
    sent: int = 0
    recorded: int = 0

    def __post_init__(self) -> None:
        self.keys = self.proxy.keyring

    def try_once(self, number: int) -> None:
        """Make trial *number*; raise AssertionError if anything went where it should not."""
        dice = random.Random(number)
        offer = GOOD if dice.random() < 0.4 else nasty(dice)
        upstream = dice.choice(list(UPSTREAMS))
        vars(self.proxy.intake).update(vars(MemoryIntake()))
        self._say(dice, offer, upstream)
        messages = self.proxy.intake.messages
        self.recorded += len(messages)
        for message in messages:
            assert message.offer == offer
            assert _ID.fullmatch(offer)
        # What was refused is handed to the sender all the same: the last look is its own.
        self._send(dice, messages[0] if messages else None, offer, UPSTREAMS[upstream])

    def _say(self, dice: random.Random, offer: str, upstream: str) -> None:
        """Tell a decline of *offer*, from a page or a server, with headers that lie."""
        spoofs = {name: _header(nasty(dice)) for name in dice.sample(SPOOFS, k=2)}
        if dice.random() < 0.5:
            now = self.proxy.clock.seconds
            token = self.keys.mint(
                "OPEN", offer=None, origin=OTHER_SHOP, upstream=upstream, now=now
            )
            form = self.proxy.form(token=token, offer=_encodable(offer))
            origin = OTHER_SHOP if dice.random() < 0.7 else _header(nasty(dice))
            self.proxy.page(form, origin=origin, headers=spoofs)
            return
        spoofs.pop("Referer", None)  # a key that came from a browser is refused for that alone
        told = self.proxy.document(offer=offer, upstream=upstream)
        if upstream == "tickets":
            told["metadata"] = {"url": nasty(dice), "product": nasty(dice)}
        else:
            told["customer"] = {"city": nasty(dice)}
        self.proxy.server(told, partner="OPEN", headers=spoofs)

    def _send(self, dice: random.Random, message: Message | None, offer: str, api: str) -> None:
        upstream = self._upstream(dice, api)
        self.insurer.speak = self.bait.speak = _speech(dice, self.bait)
        given: dict[str, Any] = {"metadata": {"u": nasty(dice)}, "customer": {"city": nasty(dice)}}
        if message is not None:
            given = {"metadata": message.metadata, "customer": message.customer}
        delivery = a_delivery(offer=offer, body=body_for(APIS[api], **given))
        with suppress(UnsafeUrl):  # bearer credentials refuse a base when they are made
            self.sender.send(delivery, upstream, credentials_for(upstream))
        for server in (self.insurer, self.bait):
            self._check(server, upstream, offer, delivery.body)

    def _upstream(self, dice: random.Random, api: str) -> UpstreamSetting:
        """Return a setting, in one trial of three with a base or a code that settings refuse."""
        upstream = an_upstream(f"{self.insurer.url}/x", api)
        if upstream.hmac is not None:
            signed = HmacSetting(
                api_key=Secret(KEY), api_secret=Secret(PASSWORD), headers="(request-target) date"
            )
            upstream = upstream.model_copy(update={"hmac": signed})
        if dice.random() < 0.17:
            return upstream.model_copy(update={"base_url": self._base(dice)})
        if dice.random() < 0.2:
            return upstream.model_copy(update={"partner_code": nasty(dice)})
        return upstream

    def _base(self, dice: random.Random) -> str:
        scheme = dice.choice(
            ("http://", "http://", "HTTP://", "http:/", "https://", "//", "ftp://")
        )
        first, second = self.insurer.host, self.bait.host
        ways = (
            f"{first}/{nasty(dice)}",
            f"{first}{nasty(dice)}{second}",
            f"{first}{nasty(dice, 1)}@{second}/x",
            f"{nasty(dice, 2)}@{second}/x",
            f"{first}/x{nasty(dice)}",
            f"{first}/x/../{nasty(dice, 1)}",
        )
        return scheme + dice.choice(ways)

    def _check(self, server: StandIn, upstream: UpstreamSetting, offer: str, body: str) -> None:
        """Hold each request that *server* heard against what was meant."""
        scheme, _, rest = upstream.base_url.partition("://")
        netloc, slash, path = rest.partition("/")
        base = (slash + path).removesuffix("/")
        report = base + PATHS[upstream.api].format(code=upstream.partner_code, offer=offer)
        token = f"{base}/api/oauth/token"
        heard = server.take()
        reports = 0
        for request in heard:
            assert (scheme.lower(), netloc) == ("http", server.host)
            assert all(map(_ID.fullmatch, (upstream.partner_code, offer)))
            assert re.fullmatch(r"(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._~!$&'()*+,;=:@-]+)*", base)
            assert request.line in (f"POST {report} HTTP/1.1", f"POST {token} HTTP/1.1")
            assert request.only("host") == server.host
            assert not {"cookie", "proxy-authorization"} & {name for name, _ in request.headers}
            if request.line == f"POST {report} HTTP/1.1":
                reports += 1
                assert request.body == body.encode()
                _check_proof(request, report, upstream)
        # One report; after a 401 to a bearer token, one more with the next token.
        assert reports <= (1 if upstream.hmac else 2)
        self.sent += reports


def _check_proof(request: Heard, path: str, upstream: UpstreamSetting) -> None:
    if upstream.hmac is None:
        assert request.only("authorization") == "Bearer a-token"
        return
    match = _SIGNATURE.fullmatch(request.only("authorization"))
    assert match
    text = f"(request-target): post {path}\ndate: {request.only('date')}"
    digest = hmac.digest(PASSWORD.encode(), text.encode(), "sha512")
    assert (match[1], unquote(match[2])) == (KEY, b64encode(digest).decode())


def _speech(dice: random.Random, bait: StandIn) -> Callable[[Heard], Said]:
    """Return how both servers answer in this trial: they point to the bait wherever they can."""
    moved = dice.random() < 0.1  # the token endpoint, too
    report = _pointing(dice, bait)

    def speak(heard: Heard) -> Said:
        if heard.line.endswith("/api/oauth/token HTTP/1.1") and not moved:
            token = b'{"access_token":"a-token","expires_in":600}'
            return Said(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(token), token))
        return Said(report)

    return speak


def _pointing(dice: random.Random, bait: StandIn) -> bytes:
    target = dice.choice(
        (
            bait.url,
            f"//{bait.host}",
            f"{bait.url}/x{nasty(dice)}",
            f"0;url={bait.url}",
            "/buy",
            "..",
        )
    )
    lines = [f"HTTP/1.1 {dice.choice(STATUSES)} Word"]
    lines += [f"{name}: {target}" for name in dice.sample(POINTERS, k=3)]
    text = "\r\n".join([*lines, "Content-Length: 0", "", ""])
    return text.encode("utf-8", "surrogatepass")


def _header(text: str) -> str:
    """Return what of *text* a client can put into a header at all."""
    return "".join(mark for mark in text if mark.isprintable() and ord(mark) < 256) or "x"


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
