"""Personal data in a deployment of real processes: what the disk holds, before and after."""

import base64
import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode
from uuid import uuid4

import pytest
import requests

from proxy.cli import main
from tests.acceptance.deployment import Deployment, until
from tests.evidence import canary
from tests.settings.shell import run

TOLD = {  # offers, each told in one way to one upstream, with a mark of its own
    "offer-1": ("session", "offers", "Qzvxwk"),
    "offer-2": ("choice", "offers", "Wjqzpv"),
    "offer-3": ("batch", "offers", "Vkxqjz"),
    "offer-4": ("session", "quotes", "Zpwvqx"),
    "offer-5": ("choice", "quotes", "Xjvkqw"),
    "offer-6": ("batch", "quotes", "Kqzwjv"),
}
BORN = "1987-03-14"
OUTPUTS = (
    ("deliveries", "list", "--json"),
    ("deliveries", "show", "1"),
    ("deliveries", "show", "1", "--json"),
    ("conflicts", "list"),
    ("report",),
    ("report", "--format", "html", "--out", "report.html"),
    ("export", "--out", "export.csv"),
    ("audit", "verify", "--json"),
    ("backup", "copy.db"),
)


class Shop(Deployment):
    """A partner that passes personal data to both calls of XONE."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        for name in ("client-id", "client-secret"):
            self._secret(name, f"the {name} of a test")
            variable = f"SANDBOX_{name.upper().replace('-', '_')}"
            self.sandbox.environ[variable] = f"the {name} of a test"
        text = self.config.read_text("utf-8")
        text = f'customer_keys = "weekly"\n{text}'.replace(
            "[partners.ACME]\n", "[partners.ACME]\ncustomer = true\n"
        )
        self.config.write_text(text + "".join(self._upstreams()), "utf-8")
        (folder / "tmp").mkdir()
        self.proxy.environ["TMPDIR"] = str(folder / "tmp")  # so that we search it as well

    def _upstreams(self) -> Iterator[str]:
        for name, api, hold in (
            ("offers", "xone-offers", "24h"),
            ("quotes", "xone-quotes", "24h"),
            ("brief", "xone-offers", "1s"),
        ):
            yield (
                f"[partners.ACME.upstreams.{name}]\n"
                f'api = "{api}"\n'
                f'base_url = "http://127.0.0.1:{self.sandbox_port}"\n'
                'partner_code = "LLODT"\n'
                'oauth = { client_id_file = "client-id", client_secret_file = "client-secret" }\n'
                f'settle = "0s"\nhold = "{hold}"\nrate_per_second = 0\n'
            )

    def tell(self, offer: str, mark: str, *, way: str = "choice", upstream: str = "offers") -> None:
        """Tell a decline with a customer full of *mark* in one of the ways; it is held."""
        told: dict[str, Any] = {
            "upstream": upstream,
            "customer": customer_of(mark, upstream),
            "metadata": canary.metadata(mark),
        }
        if way == "session":
            self.session(offer, **told)
            answer = self.say(offer, upstream=upstream)
        elif way == "choice":
            answer = self.say(offer, **told)
        else:
            answer = self.batch(offer, **told)
        assert answer.ok, answer.text

    def batch(self, offer: str, **only: Any) -> requests.Response:
        """Tell one decline in a batch."""
        now = int(time.time() * 1000)
        line = {"offer": offer, "choice": "declined", "id": str(uuid4()), "seq": now, "at": now}
        answer = requests.post(
            f"{self.url}/v1/choices/batch",
            data=json.dumps(line | only) + "\n",
            headers={
                "Authorization": f"Bearer {self.server_key}",
                "Content-Type": "application/x-ndjson",
            },
            timeout=30,
        )
        assert json.loads(answer.text)["report"] == "held", answer.text
        return answer

    def buy(self, offer: str, upstream: str = "offers") -> None:
        """Tell that the main product was bought."""
        now = int(time.time() * 1000)
        told = {"offer": offer, "upstream": upstream, "id": str(uuid4()), "seq": now, "at": now}
        answer = requests.post(
            f"{self.url}/v1/choices",
            json=told | {"purchased": True, "order": "SHOP-1"},
            headers={"Authorization": f"Bearer {self.server_key}"},
            timeout=30,
        )
        assert answer.ok, answer.text

    def rows(self) -> dict[str, sqlite3.Row]:
        """Return the rows of the register as they lie in the file, by offer."""
        with closing(sqlite3.connect(self.folder / "optout.db")) as connection:
            connection.row_factory = sqlite3.Row
            return {row["offer"]: row for row in connection.execute("SELECT * FROM offers")}

    def stands(self, offer: str, report: str) -> bool:
        """True once the report of *offer* stands there."""
        return bool(self.rows()[offer]["report"] == report)

    def command(self, *words: str) -> str:
        """Type a command in a folder of its own; return what it says."""
        out = self.folder / "out"
        out.mkdir(exist_ok=True)
        named = [str(out / word) if "." in word else word for word in words]
        done = run(main, *named, "--config", self.config)
        assert done.exit_code == 0, done.output
        return done.output

    def outputs(self) -> bytes:
        """Return everything that the product says of its register; its files lie in `out`."""
        metrics = requests.get(f"http://127.0.0.1:{self.admin_port}/metrics", timeout=30)
        assert "proxy_" in metrics.text
        return "".join([metrics.text, *(self.command(*words) for words in OUTPUTS)]).encode()


def customer_of(mark: str, upstream: str) -> dict[str, str]:
    """Return what the call of *upstream* takes of a customer."""
    born = {"date_of_birth": BORN} if upstream == "quotes" else {}
    return canary.customer(mark) | born


def personal(marks: list[str]) -> list[str]:
    """Return all that may not be found of these customers."""
    return [BORN] + [text for mark in marks for text in canary.texts(canary.customer(mark))]


def extra(marks: list[str]) -> list[str]:
    """Return what was said of them in metadata."""
    return [text for mark in marks for text in canary.texts(canary.metadata(mark))]


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """A running sandbox and a running proxy."""
    shop = Shop(tmp_path)
    try:
        shop.start()
        yield shop
    finally:
        shop.end()


def tell_all(shop: Shop) -> None:
    """Tell every decline of TOLD; each is held."""
    for offer, (way, upstream, mark) in TOLD.items():
        shop.tell(offer, mark, way=way, upstream=upstream)


def buy_all(shop: Shop) -> None:
    """Buy each, and wait until all are delivered, with their customers."""
    for offer, (_, upstream, _) in TOLD.items():
        shop.buy(offer, upstream)
    until(lambda: all(shop.stands(offer, "delivered") for offer in TOLD), "the deliveries")
    for offer, (_, upstream, mark) in TOLD.items():
        (entry,) = shop.received(offer)
        assert entry["verified"]
        assert json.loads(entry["body"]) == {"customer": customer_of(mark, upstream)}


def test_nothing_is_left_of_a_customer_after_the_delivery(shop: Shop, tmp_path: Path) -> None:
    """Told in three ways to two calls; searched while it waits, after it, and after the end."""
    marks = [mark for *_, mark in TOLD.values()]
    tell_all(shop)

    sealed = [row["customer"] for row in shop.rows().values()]
    assert [len(blob) > 200 for blob in sealed] == [True] * len(TOLD)
    assert canary.left(tmp_path, personal(marks)) == set()
    assert {text for text, *_ in canary.left(tmp_path, extra(marks))} == set(extra(marks))

    buy_all(shop)

    for row in shop.rows().values():
        assert (row["customer"], row["customer_key"], row["body"]) == (None, None, None)
        assert row["metadata"] == "{}"
    assert canary.found(shop.outputs(), marks) == set()
    assert canary.left(tmp_path, personal(marks)) == set()
    # Metadata is not encrypted: SQLite's log has it until it is emptied.
    assert {file for *_, file in canary.left(tmp_path, extra(marks))} <= {"optout.db-wal"}
    shop.command("erase", "--partner", "ACME", "--order", "SHOP-1", "--yes")
    assert canary.left(tmp_path, [*personal(marks), *marks]) == set()

    assert shop.proxy.stop() == 0
    assert canary.left(tmp_path, [*personal(marks), *marks]) == set()
    assert [path.name for path, content in canary.files(tmp_path) if any_in(sealed, content)] == []


def any_in(sealed: list[bytes], content: bytes) -> bool:
    """True where one of the ciphertexts stands in *content*."""
    return any(blob[12:] in content for blob in sealed)


def test_nothing_is_left_however_it_ends(shop: Shop, tmp_path: Path) -> None:
    """Accepted, abandoned, erased, refused by an insurer that quotes the customer."""
    marks = {"accepted": "Qzvxwk", "abandoned": "Wjqzpv", "erased": "Vkxqjz", "dead": "Zpwvqx"}
    shop.fault("status", status=422, body=quoting(marks["dead"]), match={"offer": "dead"})
    for offer, mark in marks.items():
        shop.tell(offer, mark, upstream="brief" if offer == "abandoned" else "offers")
    waiting = shop.rows()
    assert all(row["customer"] for row in waiting.values())

    shop.say("accepted", "accepted", upstream="offers")
    shop.command("erase", "--partner", "ACME", "--offer", "erased", "--yes")
    shop.buy("dead")
    shop.buy("erased")
    until(lambda: shop.stands("abandoned", "abandoned"), "the end of the hold")
    until(lambda: shop.stands("dead", "dead"), "the refusal")
    until(lambda: shop.stands("erased", "delivered"), "the delivery without it")

    rows = shop.rows()
    assert rows["accepted"]["report"] == "cancelled"
    assert [offer for offer, row in rows.items() if row["customer"]] == ["dead"]
    assert [json.loads(entry["body"]) for entry in shop.received("erased")] == [{}]
    assert canary.found(shop.outputs(), marks.values()) == set()
    gone = [*personal([*marks.values()]), *extra([*marks.values()])]
    assert canary.left(tmp_path, personal([*marks.values()])) == set()
    (tmp_path / "out" / "copy.db").unlink()  # made while the metadata of the dead letter waited
    shop.command("erase", "--partner", "ACME", "--offer", "dead", "--yes")
    assert canary.left(tmp_path, [*gone, *marks.values()]) == set()

    assert shop.proxy.stop() == 0
    assert canary.left(tmp_path, [*gone, *marks.values()]) == set()


def quoting(mark: str) -> str:
    """Return a refusal that repeats what it was sent, each value in a spelling of its own."""
    values = canary.customer(mark)
    return json.dumps(
        {
            "message": f"{values['first_name'].upper()} can not be insured.",
            "errors": {
                "customer.first_name": [f"{values['first_name']} is not a name."],
                "customer.phone": [f"+649{canary.digits(mark)}17 is not a number."],
            },
        }
    )


def test_a_kill_between_the_delivery_and_its_end_leaves_nothing(shop: Shop, tmp_path: Path) -> None:
    """The insurer has it and we do not know: sent again byte for byte, and then it is gone."""
    mark = "Qzvxwk"
    shop.fault("hang", seconds=30.0, times=1)
    shop.tell("killed", mark)
    shop.buy("killed")
    until(lambda: shop.received("killed"), "the request")
    shop.proxy.kill()

    assert shop.rows()["killed"]["report"] == "sending"
    assert canary.left(tmp_path, personal([mark])) == set()

    shop.start_proxy()
    until(lambda: shop.stands("killed", "delivered"), "the second attempt")

    first, second = shop.received("killed")
    assert json.loads(first["body"]) == {"customer": canary.customer(mark)}
    assert (second["body"], second["idempotency_key"]) == (first["body"], first["idempotency_key"])
    assert shop.rows()["killed"]["customer"] is None
    assert canary.left(tmp_path, personal([mark])) == set()
    assert shop.proxy.stop() == 0
    assert canary.left(tmp_path, [*personal([mark]), mark]) == set()


@pytest.mark.parametrize("text", [*personal(["Qzvxwk"]), *extra(["Qzvxwk"]), "Qzvxwk"])
def test_the_search_sees_every_spelling(text: str) -> None:
    """As encoders write them, with something before and after; what it misses proves nothing."""
    written = {
        "plain": f"before {text} after".encode(),
        "utf-16": f"x{text}y".encode("utf-16"),
        "json": json.dumps({"name": text}).encode(),
        "json, not ascii": json.dumps({"name": text}, ensure_ascii=False).encode(),
        "json in json": json.dumps({"body": json.dumps({"name": text})}).encode(),
        "url": f"https://x.example/{quote(text, safe='')}/y".encode(),
        "form": urlencode({"name": text, "x": "y"}).encode(),
        "hex": f"x{text}y".encode().hex().encode(),
    }
    for offset in range(3):
        coded = b"x" * offset + text.encode() + b"tail"
        written[f"base64, {offset} before"] = base64.b64encode(coded)
        written[f"base64url, {offset} before"] = base64.urlsafe_b64encode(coded)
    for name, content in written.items():
        assert (text, name) in canary.found(content, [text])
