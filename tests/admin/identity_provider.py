"""A company's identity provider on loopback: OpenID Connect as its specification has it.

Code flow with PKCE, client authentication, signed tokens. What a test sets makes it lie.
"""

import base64
import hashlib
import json
import secrets
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

CLIENT_ID = "dashboard"


@dataclass
class IdentityProvider:
    """One provider, its users, and what it is made to say wrongly."""

    client_secret: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    redirect_uri: str = "http://127.0.0.1:8081/admin/sso/return"
    user: dict[str, Any] = field(default_factory=dict)  # claims of who sits at the browser
    wrong: dict[str, Any] = field(default_factory=dict)  # claims that it lies about
    header: dict[str, Any] = field(default_factory=dict)
    signs_with: RSAKey | None = None  # instead of its own key
    metadata: dict[str, Any] = field(default_factory=dict)
    token_status: int = 200
    asked: list[dict[str, str]] = field(default_factory=list)  # at the authorization endpoint
    looked: list[str] = field(default_factory=list)  # paths

    def __post_init__(self) -> None:
        self.key = _a_key("first")
        self._codes: dict[str, dict[str, str]] = {}
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:  # its name in the library
                provider.looked.append(self.path)
                self.answer(200, provider.documents().get(urlsplit(self.path).path))

            def do_POST(self) -> None:  # the same
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                given = {name: values[0] for name, values in parse_qs(body).items()}
                self.answer(*provider.exchange(given, self.headers.get("Authorization", "")))

            def answer(self, status: int, document: object) -> None:
                content = json.dumps(document).encode()
                self.send_response(status if document is not None else 404)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def issuer(self) -> str:
        """Where it is, and how it names itself."""
        return f"http://127.0.0.1:{self._server.server_port}/realms/shop"

    def end(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()

    def documents(self) -> dict[str, Any]:
        """Return what it publishes, by path."""
        about = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
        }
        keys = KeySet([self.key]).as_dict(private=False)
        return {
            "/realms/shop/.well-known/openid-configuration": about | self.metadata,
            "/realms/shop/keys": keys,
        }

    def visit(self, address: str) -> str:
        """Have the user at the browser agree; return where the browser is sent back to."""
        parts = urlsplit(address)
        assert parts.path == "/realms/shop/authorize"
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        assert asked["response_type"] == "code"
        assert asked["client_id"] == CLIENT_ID
        assert asked["redirect_uri"] == self.redirect_uri
        assert asked["code_challenge_method"] == "S256"
        assert "openid" in asked["scope"].split()
        self.asked.append(asked)
        code = secrets.token_urlsafe(16)
        self._codes[code] = asked
        return f"{self.redirect_uri}?{urlencode({'code': code, 'state': asked['state']})}"

    def exchange(self, given: dict[str, str], authorization: str) -> tuple[int, dict[str, Any]]:
        """Return what a code is exchanged for, once, and for its own client only."""
        asked = self._codes.pop(given.get("code", ""), None)
        pair = f"{CLIENT_ID}:{self.client_secret}".encode()
        digest = hashlib.sha256(given.get("code_verifier", "").encode()).digest()
        if (
            asked is None
            or authorization != f"Basic {base64.b64encode(pair).decode()}"
            or given["redirect_uri"] != self.redirect_uri
            or asked["code_challenge"] != base64.urlsafe_b64encode(digest).decode().rstrip("=")
        ):
            return 400, {"error": "invalid_grant"}
        return self.token_status, {
            "access_token": secrets.token_urlsafe(16),
            "token_type": "Bearer",
            "id_token": self.id_token(asked),
        }

    def id_token(self, asked: dict[str, str]) -> str:
        """Return the signed token that answers a question."""
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": CLIENT_ID,
            "iat": now,
            "exp": now + 300,
            "auth_time": now,
            "nonce": asked["nonce"],
            **self.user,
            **self.wrong,
        }
        said = {name: value for name, value in claims.items() if value is not None}
        header = {"alg": "RS256", "kid": self.key.kid, **self.header}
        if header["alg"] == "none":
            return ".".join([*(_b64(json.dumps(part)) for part in (header, said)), ""])
        return jwt.encode(header, said, self.signs_with or self.key)

    def turn_over(self) -> None:
        """Sign with a new key from now on."""
        self.key = _a_key("second")


def a_stranger() -> RSAKey:
    """Return a key that calls itself as the provider's."""
    return _a_key("first")


def _a_key(name: str) -> RSAKey:
    return RSAKey.generate_key(2048, {"kid": name, "use": "sig"})


def _b64(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
