"""The demo shop: three pages of a ticket order, and a panel that shows what travels.

It does what any shop's server does: mint a token, put one script tag on its pages.
"""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from flask import Flask, abort, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from proxy import assets
from proxy.choices import Choice
from proxy.demo import story
from proxy.demo.operator import Operator
from proxy.demo.orders import Order, Orders
from proxy.demo.programme import PROGRAMME, euros
from proxy.demo.witnesses import Witnesses

UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """The snippet's address and hash, as `optout-proxy snippet` prints them."""

    address: str
    integrity: str
    origin: str  # of the proxy, for the shop's content security policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """What the shop needs from around it."""

    origins: tuple[str, ...]  # its own addresses; the first one is the one it prefers
    script: Script
    mint: Callable[[str | None, str, str], str]  # offer, origin, upstream → session token
    witnesses: Witnesses
    operator: Operator | None = None
    clock: Callable[[], float] = time.time  # in s


def create_shop(shop: Shop) -> Flask:
    """Build the shop's Flask application."""
    app = Flask(
        __name__,
        static_folder=str(assets.folder("static") / "demo"),
        static_url_path="/assets",
        template_folder=str(assets.folder("templates") / "demo"),
    )
    app.config["MAX_CONTENT_LENGTH"] = 4096
    app.jinja_env.globals |= {
        "euros": euros,
        "operator": shop.operator,
        "programme": PROGRAMME,
        "script": shop.script,
    }
    app.jinja_env.filters["day"] = lambda day: f"{day:%A} {day.day} {day:%B} {day.year}"
    app.before_request(lambda: _at_home(shop.origins))
    app.after_request(lambda response: _guarded(response, shop.script.origin))
    pages = Pages(shop)
    app.add_url_rule("/", "home", pages.home)
    app.add_url_rule("/operator", "operator", pages.operator)
    app.add_url_rule("/orders", "begin", pages.begin, methods=["POST"])
    app.add_url_rule("/orders/<key>", "order", pages.order)
    app.add_url_rule("/orders/<key>", "answer", pages.answer, methods=["POST"])
    app.add_url_rule("/orders/<key>/offer", "offer", pages.offer, methods=["POST"])
    app.add_url_rule("/orders/<key>/payment", "payment", pages.payment)
    app.add_url_rule("/orders/<key>/payment", "pay", pages.pay, methods=["POST"])
    app.add_url_rule("/orders/<key>/tickets", "tickets", pages.tickets)
    app.add_url_rule("/orders/<key>/travels", "travels", pages.travels)
    return app


class Pages:
    """The pages of the shop, each a method."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._orders = Orders()

    def home(self) -> str:
        """Show what is on."""
        return render_template("home.html", today=self._today())

    def operator(self) -> str:
        """Tell how to sign in to the dashboard; nobody but a demo would."""
        if self._shop.operator is None:
            abort(404)
        return render_template("operator.html")

    def begin(self) -> Response:
        """Begin an order, with a new offer."""
        show = PROGRAMME.get(request.form.get("show", ""))
        if show is None:
            abort(400)
        return redirect(url_for("order", key=self._orders.open(show).key), 303)

    def order(self, key: str) -> str | Response:
        """Show the seats and the offer, with nothing chosen."""
        order = self._find(key)
        if order.reference:
            return redirect(url_for("tickets", key=key))
        if order.show.elements:
            # The offer does not exist yet, so no token can name it.
            return self._page("elements.html", order, self._mint(order, None))
        return self._page("order.html", order)

    def offer(self, key: str) -> tuple[str, int]:
        """Take the id of the offer that the widget made: only the page knows it.

        A real shop keeps the whole offer, to confirm it.
        """
        self._take_offer(self._find(key))
        return "", HTTPStatus.NO_CONTENT

    def answer(self, key: str) -> Response:
        """Take the visitor's answer for the price; the snippet has told the proxy itself."""
        said = request.form.get("protection") or Choice.UNDECIDED
        if said not in set(Choice):
            abort(400)
        self._orders.answer(self._take_offer(self._find(key)), Choice(said))
        return redirect(url_for("payment", key=key), 303)

    def payment(self, key: str) -> str | Response:
        """Show the amount and a button."""
        order = self._find(key)
        if order.reference:
            return redirect(url_for("tickets", key=key))
        return self._page("payment.html", order)

    def pay(self, key: str) -> Response:
        """Pretend a payment."""
        self._orders.pay(self._find(key))
        return redirect(url_for("tickets", key=key), 303)

    def tickets(self, key: str) -> str | Response:
        """Show the tickets; this page's tag tells the proxy of the purchase."""
        order = self._find(key)
        if not order.reference:
            return redirect(url_for("payment", key=key))
        return self._page("tickets.html", order)

    def travels(self, key: str) -> dict[str, Any]:
        """Answer the side panel: what the proxy and the insurer say of this offer."""
        return self._travels(self._find(key))

    def _take_offer(self, order: Order) -> Order:
        made = request.form.get("offer")
        if not made:
            return order
        if not (order.show.elements and UUID.fullmatch(made)):
            abort(400)
        return self._orders.name(order, made)

    def _page(self, template: str, order: Order, token: str | None = None) -> str:
        if order.offer and token is None:
            token = self._mint(order, order.offer)
        return render_template(
            template,
            order=order,
            show=order.show,
            evening=order.show.evening(self._today()),
            token=token,
            travels=self._travels(order),
        )

    def _mint(self, order: Order, offer: str | None) -> str:
        return self._shop.mint(offer, request.host_url.rstrip("/"), order.show.upstream)

    def _travels(self, order: Order) -> dict[str, Any]:
        if order.offer is None:
            return story.travels(order, None, [])
        witnesses = self._shop.witnesses
        record = witnesses.recorded(order.show.upstream, order.offer)
        return story.travels(order, record, witnesses.received(order.offer))

    def _find(self, key: str) -> Order:
        return self._orders.find(key) or abort(404)

    def _today(self) -> Any:
        return datetime.fromtimestamp(self._shop.clock(), UTC).date()


def _at_home(origins: tuple[str, ...]) -> Response | None:
    """Send a visitor who came by another name to the address that tokens are made for."""
    if request.host_url.rstrip("/") in origins:
        return None
    return redirect(origins[0])


def _guarded(response: Response, proxy: str) -> Response:
    """Add the headers that a careful shop sends; `script-src` is what a shop adds for the proxy."""
    response.headers["Content-Security-Policy"] = (
        f"default-src 'none'; script-src 'self' {proxy}; connect-src 'self' {proxy}; "
        "style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    )
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "strict-origin-when-cross-origin"
    if request.endpoint != "static":
        response.headers["Cache-Control"] = "no-store"
    return response
