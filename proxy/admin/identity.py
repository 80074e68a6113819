"""The identity token of single sign-on, judged by Authlib. Imported only where that is configured.

Knows no HTTP and no page.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from authlib.common.errors import AuthlibBaseError
from authlib.common.urls import add_params_to_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry

# No `none`, and nothing that the client's own secret could sign.
_ALGORITHMS = ["RS256", "PS256", "ES256", "EdDSA", "RS384", "RS512", "PS384", "PS512", "ES384"]
_LEEWAY_S = 60


class NotIdentified(Exception):
    """The token does not say who it is; the message is ours, not the provider's."""


class UnknownKey(NotIdentified):
    """The provider has a newer key than we know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What a token must say to be the answer to our question."""

    issuer: str
    client_id: str
    nonce: str
    asked_at: int  # Unix seconds
    is_anew: bool  # the user had to prove it again


def question(endpoint: str, expected: Expected, **more: str) -> str:
    """Return the address that a browser asks the provider at."""
    verifier = more.pop("verifier")
    given = {
        "response_type": "code",
        "client_id": expected.client_id,
        "nonce": expected.nonce,
        "code_challenge": create_s256_code_challenge(verifier),
        "code_challenge_method": "S256",
        **more,
    }
    if expected.is_anew:
        given |= {"prompt": "login", "max_age": "0"}
    return str(add_params_to_uri(endpoint, list(given.items())))


def claims_of(token: str, keys: Mapping[str, Any], expected: Expected, now: int) -> dict[str, Any]:
    """Return what *token* says; NotIdentified unless one of *keys* signed it, for us and now."""
    registry = JWSRegistry(algorithms=_ALGORITHMS, strict_check_header=False)
    try:
        known = KeySet.import_key_set({"keys": _public(keys)})
        read = jwt.decode(token, known, registry=registry)
        options = {
            "iss": {"essential": True, "value": expected.issuer},
            "aud": {"essential": True, "value": expected.client_id},
        }
        params = {"nonce": expected.nonce, "client_id": expected.client_id}
        claims = CodeIDToken(read.claims, read.header, options, params)
        claims.validate(now=now, leeway=_LEEWAY_S)
    except InvalidKeyIdError:
        raise UnknownKey("the provider's key is not known") from None
    except (JoseError, AuthlibBaseError, ValueError, KeyError, TypeError):
        raise NotIdentified("the provider's token is not good") from None
    found = dict(claims)
    if expected.is_anew and _when(found) < expected.asked_at - _LEEWAY_S:
        raise NotIdentified("the provider did not ask again")
    return found


def _public(keys: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the keys that sign; a secret one would let whoever reads the list sign as well."""
    listed = [key for key in keys["keys"] if isinstance(key, dict)]
    return [key for key in listed if key.get("kty") != "oct" and key.get("use", "sig") == "sig"]


def _when(claims: Mapping[str, Any]) -> float:
    given = claims.get("auth_time")
    return float(given) if isinstance(given, int | float) else 0.0
