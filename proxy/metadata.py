"""Metadata: what the partner's server says of an offer beside the choice; flat scalars as JSON."""

import json
from collections.abc import Mapping
from typing import Any

from proxy.register import Offer


def as_text(metadata: Mapping[str, Any] | None) -> str | None:
    """Return *metadata* as it is stored; None where there is none."""
    return json.dumps(dict(metadata), sort_keys=True) if metadata else None


def described(offer: Offer, metadata: str | None, *, outdated: bool = False) -> Offer:
    """Return *offer* with what the partner's server says about it; the product stays known.

    Once a body is frozen, or where a newer message has spoken, only a product that is not known
    yet is taken: the funnel counts by it, and the insurer is never told of it anew.
    """
    if metadata is None:
        return offer
    product = json.loads(metadata).get("product")
    named = offer.product if product is None else str(product)
    if outdated or offer.body is not None:
        return offer._replace(product=offer.product or named)
    return offer._replace(metadata=metadata, product=named)
