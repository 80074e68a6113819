"""Why an attempt ended as it did, or a report was given up, as a person would say it."""

_REASONS = {
    "ambiguous": "an attempt may have arrived, its answer never came, and by now the insurer may"
    " have forgotten its key: sent again it could count twice",
    "answer_cut": "the insurer's answer broke off",
    "answer_is_html": "the insurer answered with a page of HTML where a success was due",
    "answer_too_large": "the insurer's answer was larger than we read",
    "answer_unreadable": "the insurer's answer could not be read",
    "connection_lost": "the connection was lost before an answer came",
    "credentials_expired": "the signature was too old to be sent",
    "delivered": "the insurer has it",
    "forbidden": "the insurer refuses it with 403",
    "handshake_broken": "the connection broke off while it was being secured",
    "locked": "the insurer works on an earlier attempt",
    "name_not_resolved": "the insurer's host was not found",
    "not_connected": "the insurer's host did not take the connection",
    "offer_gone": "the insurer does not know the offer any more",
    "offer_malformed": "the offer's id is not one that may stand in an address",
    "offer_not_found": "the insurer does not know the offer",
    "poison": "fifty claims in a row ended without an answer",
    "redirected": "the insurer's host sends us elsewhere, which we do not follow",
    "refused": "the insurer refuses its content",
    "repeated": "the insurer says that its key was used before",
    "request_timeout": "the insurer says that the request came too slowly",
    "throttled": "the insurer asks us to slow down",
    "timed_out": "no answer came in time",
    "tls_failed": "the insurer's certificate is not to be trusted",
    "token_failed": "no access token was to be had",
    "too_early": "the insurer was not ready for it",
    "unauthorized": "the insurer does not accept the credential",
    "unexpected_status": "the insurer gave an answer that this call does not have",
    "unsafe_url": "the address to send it to is not safe",
    "upstream_error": "the insurer's server failed",
    "upstream_not_configured": "the settings do not name its upstream any more",
    "upstream_unavailable": "the insurer's server is not available",
}


def reason(outcome: str | None) -> str:
    """Return what *outcome* means."""
    if outcome is None:
        return "the reason is not on record"
    return _REASONS.get(outcome, outcome.replace("_", " "))
