"""The demo shop: three pages of a ticket order, and a panel that shows what travels.

It does what any shop's server does: mint a token, put one script tag on its pages.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from flask import Flask, abort, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from proxy import assets
from proxy.choices import Choice
from proxy.demo import story
from proxy.demo.orders import Order, Orders
from proxy.demo.programme import PROGRAMME, euros
from proxy.demo.witnesses import Witnesses


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
    mint: Callable[[str, str, str], str]  # offer, origin, upstream → session token
    witnesses: Witnesses
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
    app.jinja_env.globals |= {"euros": euros, "programme": PROGRAMME, "script": shop.script}
    app.jinja_env.filters["day"] = lambda day: f"{day:%A} {day.day} {day:%B} {day.year}"
    app.before_request(lambda: _at_home(shop.origins))
    app.after_request(lambda response: _guarded(response, shop.script.origin))
    pages = Pages(shop)
    app.add_url_rule("/", "home", pages.home)
    app.add_url_rule("/orders", "begin", pages.begin, methods=["POST"])
    app.add_url_rule("/orders/<offer>", "order", pages.order)
    app.add_url_rule("/orders/<offer>", "answer", pages.answer, methods=["POST"])
    app.add_url_rule("/orders/<offer>/payment", "payment", pages.payment)
    app.add_url_rule("/orders/<offer>/payment", "pay", pages.pay, methods=["POST"])
    app.add_url_rule("/orders/<offer>/tickets", "tickets", pages.tickets)
    app.add_url_rule("/orders/<offer>/travels", "travels", pages.travels)
    return app


class Pages:
    """The pages of the shop, each a method."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._orders = Orders()

    def home(self) -> str:
        """Show what is on."""
        return render_template("home.html", today=self._today())

    def begin(self) -> Response:
        """Begin an order, with a new offer."""
        show = PROGRAMME.get(request.form.get("show", ""))
        if show is None:
            abort(400)
        return redirect(url_for("order", offer=self._orders.open(show).offer), 303)

    def order(self, offer: str) -> str | Response:
        """Show the seats and the offer, with nothing chosen."""
        order = self._find(offer)
        if order.reference:
            return redirect(url_for("tickets", offer=offer))
        return self._page("order.html", order)

    def answer(self, offer: str) -> Response:
        """Take the visitor's answer for the price; the snippet has told the proxy itself."""
        said = request.form.get("protection", Choice.UNDECIDED)
        if said not in set(Choice):
            abort(400)
        self._orders.answer(self._find(offer), Choice(said))
        return redirect(url_for("payment", offer=offer), 303)

    def payment(self, offer: str) -> str | Response:
        """Show the amount and a button."""
        order = self._find(offer)
        if order.reference:
            return redirect(url_for("tickets", offer=offer))
        return self._page("payment.html", order)

    def pay(self, offer: str) -> Response:
        """Pretend a payment."""
        self._orders.pay(self._find(offer))
        return redirect(url_for("tickets", offer=offer), 303)

    def tickets(self, offer: str) -> str | Response:
        """Show the tickets; this page's tag tells the proxy of the purchase."""
        order = self._find(offer)
        if not order.reference:
            return redirect(url_for("payment", offer=offer))
        return self._page("tickets.html", order)

    def travels(self, offer: str) -> dict[str, Any]:
        """Answer the side panel: what the proxy and the insurer say of this offer."""
        return self._travels(self._find(offer))

    def _page(self, template: str, order: Order) -> str:
        return render_template(
            template,
            order=order,
            show=order.show,
            evening=order.show.evening(self._today()),
            token=self._shop.mint(order.offer, request.host_url.rstrip("/"), order.show.upstream),
            travels=self._travels(order),
        )

    def _travels(self, order: Order) -> dict[str, Any]:
        witnesses = self._shop.witnesses
        record = witnesses.recorded(order.show.upstream, order.offer)
        return story.travels(order, record, witnesses.received(order.offer))

    def _find(self, offer: str) -> Order:
        return self._orders.find(offer) or abort(404)

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
