"""The session tokens in a page, as anybody can read them. No secret is opened for it."""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final

from proxy.errors import Problem
from proxy.inspection import inspect
from proxy.pages import Element, Page
from proxy.settings import PartnerSetting, Settings
from proxy.tokens import LEEWAY
from proxy.visits import origin_of

_SECRET: Final = re.compile(r"\A(?:ots|osk)_(?:live|test)_")
_MINT: Final = "have the server make a fresh one for each page"


def token_findings(
    tag: Element, page: Page, settings: Settings, now: int
) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with the tokens of *page*, one sentence for each fault."""
    bearers = [each for each in page.with_attribute("data-token") if each["data-token"]]
    if not bearers:
        yield "token_missing", f"There is no `data-token`: {_MINT}, and write it into the tag."
    for bearer in bearers:
        token = bearer["data-token"]
        if _SECRET.match(token):
            yield (
                "secret_exposed",
                (
                    "`data-token` holds a secret that everybody can read: replace that secret, and "
                    f"{_MINT}."
                ),
            )
            continue
        try:
            read = inspect(token)
        except Problem as problem:
            why = problem.detail or "it is not kid.payload.time.mac"
            yield "token_malformed", f"`data-token` can not be read ({why}): {_MINT}."
            continue
        offer = bearer["data-offer"] or (tag["data-offer"] if bearer is tag else "")
        yield from _judge(read, offer, page, settings, now)


def _judge(
    read: dict[str, Any], offer: str, page: Page, settings: Settings, now: int
) -> Iterator[tuple[str, str]]:
    claims = read["claims"]
    if now > read["expires_at"] + LEEWAY:
        late = timedelta(seconds=now - read["expires_at"])
        yield (
            "token_expired",
            f"The token ended {late} ago: {_MINT}, and keep the page out of caches.",
        )
    if now < read["issued_at"] - LEEWAY:
        yield "token_early", "The token's time is in the future: set the shop server's clock."
    if claims["aud"] != settings.audience:
        yield (
            "token_audience",
            (
                f"The token is for `{claims['aud']}`, this deployment is `{settings.audience}`: "
                "sign it for this one."
            ),
        )
    if claims.get("o") and offer and claims["o"] != offer:
        yield (
            "token_offer",
            f"The token is for offer `{claims['o']}`, the page names `{offer}`: sign one for it.",
        )
    yield from _partner(read["kid"], claims, page, settings)


def _partner(
    kid: str, claims: dict[str, Any], page: Page, settings: Settings
) -> Iterator[tuple[str, str]]:
    partner = _partner_of(kid, settings)
    if partner is None:
        yield "token_key", f"No partner has a key `{kid}`: sign with one that is configured."
    elif claims["p"] != partner.name:
        yield (
            "token_partner",
            (
                f"The token names partner `{claims['p']}`, its key is `{partner.name}`'s: sign it "
                "with the partner's own key."
            ),
        )
    if claims["org"] != origin_of(page.url):
        yield (
            "token_origin",
            (
                f"The token is for {claims['org']}, the page is on {origin_of(page.url)}: sign it "
                "for the page's own origin."
            ),
        )
    elif partner is not None and claims["org"] not in partner.origins:
        yield (
            "token_origin",
            (
                f"The token's origin {claims['org']} is not among the origins of `{partner.name}`: "
                "add it there."
            ),
        )


def _partner_of(kid: str, settings: Settings) -> PartnerSetting | None:
    """Return the partner whose key is called *kid*."""
    found = (
        partner
        for partner in settings.partners.values()
        if kid in {key.kid for key in partner.signing_keys}
    )
    return next(found, None)
