"""Everything raised on purpose. The closed list of codes is what callers may rely on."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Code:
    """One entry of the closed list: its only status, its sentence, and whether to try again."""

    status: int
    title: str
    retry: bool = False  # the same request may succeed later


CODES: dict[str, Code] = {
    "body_too_large": Code(413, "The request body is larger than this call allows."),
    "browser_not_allowed": Code(403, "This call is for servers; a browser sent it."),
    "csrf_failed": Code(403, "The form was not sent from a page of this site."),
    "customer_invalid": Code(422, "A field of `customer` is not acceptable."),
    "customer_mismatch": Code(422, "`customer` is not the one that the token names."),
    "customer_not_allowed": Code(422, "This partner is not configured to pass customer data."),
    "fetch_context_not_allowed": Code(403, "This call can not be made by navigating to it.", True),
    "host_not_allowed": Code(400, "The Host header is missing or names another host."),
    "idempotency_key_reused": Code(422, "The same key was used for another content."),
    "internal_error": Code(500, "Something went wrong on our side.", True),
    "invalid_json": Code(400, "The body is not a JSON document as this call needs it."),
    "invalid_request": Code(400, "A field is missing, unknown, repeated or malformed."),
    "length_required": Code(411, "The request needs a Content-Length."),
    "login_failed": Code(401, "The name, password or code is wrong."),
    "login_required": Code(401, "Sign in first.", True),
    "login_throttled": Code(429, "Too many failed logins; wait and try again.", True),
    "method_not_allowed": Code(405, "This address does not know that method.", True),
    "not_found": Code(404, "There is nothing at this address.", True),
    "offer_mismatch": Code(403, "The offer is not the one that the token names.", True),
    "origin_mismatch": Code(403, "The page is not the one that the token was made for.", True),
    "origin_missing": Code(403, "The request has no Origin header.", True),
    "origin_not_allowed": Code(403, "The origin is not on the partner's list.", True),
    "pan_detected": Code(422, "A field looks like a payment card number."),
    "partner_disabled": Code(403, "This partner is switched off.", True),
    "rate_limited": Code(429, "Too many requests; wait and try again.", True),
    "reauth_required": Code(403, "This needs a fresh login.", True),
    "request_in_progress": Code(409, "The same request is being worked on.", True),
    "request_timeout": Code(408, "The request did not arrive in time.", True),
    "role_not_allowed": Code(403, "Only an operator may do this."),
    "server_key_invalid": Code(401, "The server key is missing or unknown.", True),
    "storage_unavailable": Code(503, "Nothing was stored; try again.", True),
    "token_bad_signature": Code(401, "The session token's signature is wrong.", True),
    "token_claims_invalid": Code(401, "A claim of the session token is not acceptable.", True),
    "token_expired": Code(401, "The session token is too old.", True),
    "token_malformed": Code(401, "That is not a session token.", True),
    "token_missing": Code(401, "The request has no session token.", True),
    "token_not_yet_valid": Code(401, "The session token was issued in the future.", True),
    "token_offers_exhausted": Code(403, "The session token has named all the offers it may.", True),
    "token_partner_mismatch": Code(401, "The key belongs to another partner.", True),
    "token_unknown_key": Code(401, "The session token names an unknown key.", True),
    "token_wrong_audience": Code(401, "The session token is for another deployment.", True),
    "totp_failed": Code(401, "The one-time code is wrong."),
    "unsupported_content_encoding": Code(415, "The body must not be compressed."),
    "unsupported_media_type": Code(415, "This call does not take that media type or charset."),
}


class Problem(Exception):
    """A request is refused; *code* is on the closed list, *detail* says which part is at fault.

    *detail* is fixed text of ours and names of fields, never a value that the caller sent.
    """

    def __init__(
        self,
        code: str,
        detail: str = "",
        *,
        retry_after: int | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail
        self.retry_after = retry_after
        self.status = status or CODES[code].status  # `origin_not_allowed` is 422 for a field


class StorageUnavailable(Problem):
    """Nothing was stored; the caller may try again."""

    def __init__(self, detail: str = "") -> None:
        super().__init__("storage_unavailable", detail, retry_after=2)


class ConfigurationError(Exception):
    """The program can not start; the message is one sentence that says how to mend it."""
