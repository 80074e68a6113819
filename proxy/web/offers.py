"""GET /v1/offers/{offer}: how one offer of the partner stands."""

from typing import Any

from flask import Blueprint, Response, request

from proxy.errors import Problem
from proxy.settings import PartnerSetting
from proxy.upstreams import is_id
from proxy.web import answers, details
from proxy.web.callers import server
from proxy.web.forms import parse
from proxy.web.parts import Parts


def blueprint(parts: Parts) -> Blueprint:
    """Serve the call that looks an offer up."""
    offers = Blueprint("offers", __name__)

    @offers.get("/v1/offers/<offer>")
    def show(offer: str) -> Response:
        terms = parts.terms()
        partner = server(terms, request.environ)
        parts.limits.partner(terms, partner.name)
        upstream = _upstream(partner, request.environ)
        found = parts.intake.find(partner.name, upstream, offer) if is_id(offer) else None
        if found is None:
            raise Problem("not_found")
        return answers.as_json(answers.of_offer(found))

    return offers


def _upstream(partner: PartnerSetting, environ: dict[str, Any]) -> str:
    query = environ.get("QUERY_STRING", "").encode("latin-1")
    return details.upstream(partner, parse(query, frozenset({"upstream"}))).name
