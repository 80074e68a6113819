"""The shop's pages: what a visitor sees before and after answering."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from flask.testing import FlaskClient

from proxy.demo.shop import Script, Shop, create_shop
from proxy.demo.witnesses import Received

ORIGIN = "http://localhost"  # where Flask's test client is
PROXY = "http://127.0.0.1:9999"
MADE = "0b0d5ab4-0000-4000-8000-000000000000"  # an offer, by a widget
DELIVERED = {"choice": "declined", "report": "delivered", "conflict": False, "purchased": False}


class Hearsay:
    """Witnesses that say what a test told them."""

    def __init__(self) -> None:
        self.record: Mapping[str, Any] | None = None
        self.requests: list[Received] = []

    def recorded(self, upstream: str, offer: str) -> Mapping[str, Any] | None:
        """Return what the test wrote down."""
        return self.record and {**self.record, "upstream": upstream, "offer": offer}

    def received(self, offer: str = "") -> list[Received]:
        """Return what the test wrote down, whatever the *offer*."""
        return self.requests if offer else []


@pytest.fixture
def hearsay() -> Hearsay:
    """What the proxy and the insurer say."""
    return Hearsay()


@pytest.fixture
def visitor(hearsay: Hearsay) -> FlaskClient:
    """A visitor's browser at the shop."""
    shop = Shop(
        origins=(ORIGIN, "http://127.0.0.1"),
        script=Script(address=f"{PROXY}/s/1.0.0/choice.js", integrity="sha384-abc", origin=PROXY),
        mint=lambda offer, origin, upstream: f"token|{offer}|{origin}|{upstream}",
        witnesses=hearsay,
        clock=lambda: datetime(2026, 11, 21, tzinfo=UTC).timestamp(),
    )
    return create_shop(shop).test_client()


def begin(visitor: FlaskClient, show: str = "night-music") -> str:
    """Begin an order; return the address of its page."""
    return visitor.post("/orders", data={"show": show}).headers["Location"]


def buy(visitor: FlaskClient, **answer: str) -> str:
    """Order, answer and pay; return the address of the tickets."""
    order = begin(visitor)
    visitor.post(order, data=answer)
    return visitor.post(f"{order}/payment").headers["Location"]


def test_nothing_is_chosen_for_the_visitor(visitor: FlaskClient) -> None:
    """A fresh offer is undecided: three states, two equal answers, none selected."""
    page = visitor.get(begin(visitor)).text

    assert re.findall(r'data-choice="(\w+)"', page) == ["accepted", "declined"]
    assert "Protect my tickets" in page
    assert "No, thank you" in page
    assert not re.search(r"\b(checked|selected)\b", page)


def test_the_visitors_own_answer_is_kept(visitor: FlaskClient) -> None:
    """Who comes back from the payment page finds the answer as given."""
    order = begin(visitor)
    visitor.post(order, data={"protection": "declined"})

    page = visitor.get(order).text

    assert re.search(r'value="declined"[^>]* checked', page)
    assert not re.search(r'value="accepted"[^>]* checked', page)


@pytest.mark.parametrize("show", ["night-music", "paper-lighthouse", "field-of-swallows"])
@pytest.mark.parametrize("leaf", ["", "/payment", "/tickets"])
def test_pages_say_accept_and_decline(visitor: FlaskClient, show: str, leaf: str) -> None:
    """The insurer's own word for a decline is on no page."""
    order = begin(visitor, show)
    if leaf == "/tickets":
        visitor.post(f"{order}/payment")

    answer = visitor.get(order + leaf)

    assert answer.status_code == 200
    assert not re.search(r"opt[ \N{NO-BREAK SPACE}_-]?(out|in)\b", answer.text, re.IGNORECASE)


def test_one_tag_is_all_a_page_needs(visitor: FlaskClient) -> None:
    """The script's address, its hash, and a token for this offer, origin and upstream."""
    order = begin(visitor)
    offer = order.rsplit("/", 1)[1]

    page = visitor.get(order).text

    assert f'src="{PROXY}/s/1.0.0/choice.js" integrity="sha384-abc" crossorigin="anonymous"' in page
    assert f'data-token="token|{offer}|{ORIGIN}|xcover-offers" data-offer="{offer}">' in page


def test_only_the_confirmation_page_tells_the_purchase(visitor: FlaskClient) -> None:
    """`data-purchased` carries the order once it is paid, and not before."""
    order = begin(visitor)
    assert "data-purchased" not in visitor.get(f"{order}/payment").text

    tickets = visitor.post(f"{order}/payment").headers["Location"]

    assert re.search(r'data-purchased="ORDER-[0-9A-F]{8}"', visitor.get(tickets).text)


def test_a_paid_order_stays_as_it_is(visitor: FlaskClient) -> None:
    """Neither another answer nor a second payment changes an order that is paid."""
    tickets = buy(visitor, protection="declined")
    before = visitor.get(tickets).text
    order = tickets.removesuffix("/tickets")

    visitor.post(order, data={"protection": "accepted"})
    visitor.post(f"{order}/payment")

    assert visitor.get(tickets).text == before
    assert visitor.get(order).headers["Location"] == tickets


@pytest.mark.parametrize(
    ("answer", "total"),
    [({}, "99.50"), ({"protection": "declined"}, "99.50"), ({"protection": "accepted"}, "107.10")],
    ids=["undecided", "declined", "accepted"],
)
def test_only_an_acceptance_costs(visitor: FlaskClient, answer: dict[str, str], total: str) -> None:
    """Two tickets and the fee, and the protection for who asked for it."""
    assert f"€\N{NO-BREAK SPACE}{total}" in visitor.get(buy(visitor, **answer)).text


@pytest.mark.parametrize(
    ("path", "form"),
    [("/orders", {"show": "none"}), ("/orders", {}), ("", {"protection": "perhaps"})],
)
def test_what_no_page_sends_is_refused(
    visitor: FlaskClient, path: str, form: dict[str, str]
) -> None:
    """A show or an answer that is not on sale is 400."""
    assert visitor.post(path or begin(visitor), data=form).status_code == 400


def test_an_unknown_order_is_not_found(visitor: FlaskClient) -> None:
    """There are no orders but those begun here."""
    assert visitor.get("/orders/0b0d5ab4-0000-4000-8000-000000000000").status_code == 404


@pytest.mark.parametrize("show", ["night-music", "field-of-swallows"])
def test_every_page_is_guarded(visitor: FlaskClient, show: str) -> None:
    """No inline script or style, nothing from elsewhere but the one script."""
    page = visitor.get(begin(visitor, show))
    policy = page.headers["Content-Security-Policy"]

    assert "default-src 'none'" in policy
    assert f"script-src 'self' {PROXY};" in policy
    assert "unsafe" not in policy
    assert not re.search(r"<style|<script>|\sstyle=|\son\w+=", page.text)


def test_a_visitor_by_another_name_is_sent_home(visitor: FlaskClient) -> None:
    """Tokens are made for the shop's own addresses, so no page is shown at any other."""
    answer = visitor.get("/", headers={"Host": "shop.example:8000"})

    assert (answer.status_code, answer.headers["Location"]) == (302, ORIGIN)


def test_no_token_names_an_offer_that_is_not_made_yet(visitor: FlaskClient) -> None:
    """Where a widget makes it, the tag listens to the widget instead."""
    page = visitor.get(begin(visitor, "field-of-swallows")).text

    assert f'data-token="token|None|{ORIGIN}|xone-offers" data-elements>' in page
    assert "data-offer=" not in page


def test_the_offer_of_a_widget_is_kept_for_the_order(visitor: FlaskClient) -> None:
    """The pages after it name it, in the tag and in its token, and the last one the purchase."""
    order = begin(visitor, "field-of-swallows")
    assert visitor.post(f"{order}/offer", data={"offer": MADE}).status_code == 204
    visitor.post(order, data={"offer": MADE, "protection": "declined"})

    tickets = visitor.get(visitor.post(f"{order}/payment").headers["Location"]).text

    assert f'data-token="token|{MADE}|{ORIGIN}|xone-offers" data-offer="{MADE}"' in tickets
    assert re.search(r'data-purchased="ORDER-[0-9A-F]{8}"', tickets)
    assert visitor.get(f"{order}/travels").get_json()["offer"] == MADE


def test_an_order_without_an_offer_has_no_tag(visitor: FlaskClient) -> None:
    """The widget did not load: the tickets are sold, and there is nothing to tell."""
    order = begin(visitor, "field-of-swallows")
    visitor.post(order, data={"offer": "", "protection": ""})

    tickets = visitor.get(visitor.post(f"{order}/payment").headers["Location"]).text

    assert "choice.js" not in tickets
    assert "not offered" in tickets


def test_another_offer_is_another_question(visitor: FlaskClient) -> None:
    """What was answered to an earlier offer is not charged under the next one."""
    order = begin(visitor, "field-of-swallows")
    visitor.post(order, data={"offer": MADE, "protection": "accepted"})
    assert "122.30" in visitor.get(f"{order}/payment").text

    visitor.post(f"{order}/offer", data={"offer": MADE.replace("0", "1")})

    assert "113.50" in visitor.get(f"{order}/payment").text


@pytest.mark.parametrize(
    ("show", "offer"),
    [
        ("field-of-swallows", "no-uuid"),
        ("field-of-swallows", f"{MADE}\n"),
        ("night-music", MADE),
    ],
)
def test_an_offer_that_no_widget_made_is_refused(
    visitor: FlaskClient, show: str, offer: str
) -> None:
    """Only a widget's page may name one, and it is a UUID."""
    order = begin(visitor, show)

    assert visitor.post(f"{order}/offer", data={"offer": offer}).status_code == 400


def test_the_panel_shows_both_ends(visitor: FlaskClient, hearsay: Hearsay) -> None:
    """What the proxy recorded and what the insurer received, as they say it."""
    hearsay.record = DELIVERED
    hearsay.requests = [a_request()]

    told = visitor.get(f"{begin(visitor)}/travels").get_json()

    assert told["record"]["report"] == "delivered"
    assert told["received"][0]["idempotency_key"] == "key-1"
    assert told["stations"] == {"page": "done", "proxy": "done", "insurer": "done"}


def test_the_panel_is_there_before_anything_travels(visitor: FlaskClient) -> None:
    """An offer that nobody knows yet is no error."""
    told = visitor.get(f"{begin(visitor)}/travels").get_json()

    assert (told["record"], told["received"], told["tone"]) == (None, [], "quiet")


def a_request() -> Received:
    """A report that verified."""
    return Received(
        api="xcover-offers",
        offer="O",
        method="POST",
        path="/x/partners/LLODT/offers/O/opt_out/",
        scheme="HMAC hmac-sha512",
        verified=True,
        why_not="",
        idempotency_key="key-1",
        status=204,
    )
