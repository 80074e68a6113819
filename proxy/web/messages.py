"""What was said, as a Message: the way from a request's body to what intake records."""

from collections.abc import Mapping

from proxy.choices import Message, Source
from proxy.errors import Problem
from proxy.settings import PartnerSetting
from proxy.tokens import admit
from proxy.web import details, fields
from proxy.web.callers import Page

FORM_FIELDS = frozenset(
    {"token", "choice", "id", "seq", "at", "offer", "purchased", "order", "tries"}
)
JSON_FIELDS = FORM_FIELDS - {"token"} | {"upstream", "metadata", "customer"}


def from_page(page: Page, form: Mapping[str, str], now_ms: int) -> Message:
    """Return what *page* says in *form*; raise Problem if it may not say that."""
    session = page.session
    offer = _offer(page, form.get("offer"))
    said = fields.from_form(form)
    late = admit(session, at_ms=said.at, now_ms=now_ms, late=page.partner.late)
    if late and said.choice is None:
        raise Problem("token_expired")  # a late message can not tell of a purchase
    return Message(
        partner=session.partner,
        upstream=page.upstream.name,
        offer=offer,
        choice=said.choice,
        id=said.id,
        seq=said.seq,
        at=said.at,
        writer=session.jti,
        source=Source.PAGE,
        purchased=said.purchased and not late,
        order=None if late else said.order,
        tries=said.tries,
        late=late,
        open_token=session.offer is None,
    )


def from_server(partner: PartnerSetting, given: Mapping[str, object]) -> Message:
    """Return what the server of *partner* says in *given*; raise Problem if it may not."""
    upstream = details.upstream(partner, given)
    offer = fields.offer(given.get("offer"))
    said = fields.from_json(given)
    return Message(
        partner=partner.name,
        upstream=upstream.name,
        offer=offer,
        choice=said.choice,
        id=said.id,
        seq=said.seq,
        at=said.at,
        writer="server",
        source=Source.SERVER,
        purchased=said.purchased,
        order=said.order,
        tries=said.tries,
        metadata=details.metadata(given),
        customer=details.customer(partner, upstream, given),
    )


def _offer(page: Page, named: str | None) -> str:
    """Return the offer that the token names, or the one that the page may name in its place."""
    if page.session.offer is None:
        return fields.offer(named)
    if named not in (None, page.session.offer):
        raise Problem("offer_mismatch")
    return page.session.offer
