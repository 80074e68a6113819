"""Reaches one host as far as its certificate and its clock. Sends no secret, follows nothing."""

import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from urllib.parse import SplitResult, urlsplit

from requests.utils import DEFAULT_CA_BUNDLE_PATH

from proxy.exchange import Line, NoAnswer, Request
from proxy.upstreams import UnsafeUrl
from proxy.wire import Limits, Resolver

SECONDS = 10.0  # for each of both connections
_HTTPS = 443
_EXPIRED, _NOT_YET, _WRONG_HOST, _WRONG_ADDRESS = 10, 9, 62, 64  # X509_V_ERR_… of OpenSSL

_WORDS = {
    "name_not_resolved": ("Its name {host} has no address.", "Mend the host, or the name server."),
    "not_connected": (
        "{host} takes no connection at port {port}.",
        "Let this machine out to it in the firewall; some hosts list whom they let in.",
    ),
    "timed_out": (
        "{host} did not answer within {seconds:.0f} s.",
        "A firewall that drops what it does not like looks like this: let this machine out.",
    ),
}
_OF_ANOTHER = (
    "The certificate at {host} is for another name.",
    "Mend the host; or whoever runs it, the certificate.",
)
_CERTIFICATES = {
    _EXPIRED: ("The certificate of {host} has expired.", "Whoever runs it must renew it."),
    _NOT_YET: (
        "The certificate of {host} is not valid yet.",
        "Look at this machine's clock; then at the certificate.",
    ),
    _WRONG_HOST: _OF_ANOTHER,
    _WRONG_ADDRESS: _OF_ANOTHER,
}
_STRANGER = (
    "The certificate of {host} is of nobody we trust ({why}).",
    (
        "If a proxy of your own looks into TLS, exempt this host from it; else the server sends "
        "no intermediate certificate."
    ),
)


class Unreachable(Exception):
    """No trusted connection; *check* is what is at fault."""

    def __init__(self, check: str, says: str, mend: str) -> None:
        super().__init__(says)
        self.check = check
        self.says = says
        self.mend = mend


@dataclass(frozen=True, slots=True)
class Reached:
    """What a host showed of itself."""

    host: str
    expires_at: float | None  # Unix seconds; None without TLS
    ahead: float | None = None  # seconds that its clock is ahead of ours; None if it did not say


def reach(url: str, authorities: str | None = None) -> Reached:
    """Connect to the host of *url* and look at its certificate; raise Unreachable."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    with _connected(parts) as plain:
        if parts.scheme != "https":
            return Reached(host, None)
        context = ssl.create_default_context(cafile=authorities or DEFAULT_CA_BUNDLE_PATH)
        try:
            with context.wrap_socket(plain, server_hostname=host) as sock:
                shown: Mapping[str, object] = sock.getpeercert() or {}
        except ssl.SSLCertVerificationError as error:
            raise _untrusted(error, host) from None
        except OSError as error:
            raise Unreachable(
                "certificate",
                f"{host} speaks no TLS that we understand ({type(error).__name__}).",
                "Look whether host and port are right; what lies between may interfere.",
            ) from None
    return Reached(host, ssl.cert_time_to_seconds(str(shown["notAfter"])))


def clock_of(url: str, authorities: str | None = None) -> float | None:
    """Return how many seconds the clock of the host of *url* is ahead; None if it does not say.

    Asks for its root, without a secret: whatever it answers carries the time.
    """
    parts = urlsplit(url)
    line = Line(authorities=authorities)
    asked = time.time()
    request = Request(
        method="GET",
        url=f"{parts.scheme}://{parts.netloc}/",
        body=b"",
        until=time.monotonic() + SECONDS,
    )
    try:
        answer = line.ask(request)
        said = parsedate_to_datetime(answer.headers["Date"]).timestamp()
    except (NoAnswer, UnsafeUrl, KeyError, ValueError, TypeError):
        return None
    finally:
        line.close()
    return said + 0.5 - (asked + time.time()) / 2  # it names whole seconds


def _connected(parts: SplitResult) -> socket.socket:
    limits = Limits(resolver=Resolver())
    limits.begin(until=time.monotonic() + SECONDS, send_by=time.monotonic() + SECONDS)
    host, port = parts.hostname or "", parts.port or (_HTTPS if parts.scheme == "https" else 80)
    try:
        return limits.connect(host, port, None)
    except OSError:
        says, mend = _WORDS.get(limits.reason(), _WORDS["not_connected"])
        told = says.format(host=host, port=port, seconds=SECONDS)
        raise Unreachable("upstream", told, mend) from None


def _untrusted(error: ssl.SSLCertVerificationError, host: str) -> Unreachable:
    says, mend = _CERTIFICATES.get(error.verify_code, _STRANGER)
    return Unreachable("certificate", says.format(host=host, why=error.verify_message), mend)
