"""A dashboard that browsers can reach, on a full register, and each page of it to look at."""

import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from waitress.server import create_server

from tests.admin.dashboard import Dashboard, Person, Visitor, a_dashboard
from tests.admin.full import PATIENCE_S, a_full_dashboard
from tests.browser import engines
from tests.browser.window import Window

ENTER = "\ue007"  # WebDriver's name for the key


@dataclass(frozen=True)
class Site:
    """The dashboard at an address of its own."""

    dashboard: Dashboard
    base: str

    def path(self, address: str) -> str:
        """Return the whole address of a page."""
        return f"{self.base}/admin/{address}"

    def sign_in(self, window: Window, person: Person, *, look: Callable[[], None]) -> None:
        """Sign in as people do, with the keyboard; *look* at each page on the way."""
        window.go(self.path(""))
        if has(window, ".whoami"):  # whoever was here before
            window.click(".whoami button")
            engines.wait(lambda: has(window, "#name"))
        assert window.title.startswith("Sign in")
        look()
        window.press("#name", person.name)
        window.press("#password", person.password + ENTER)
        engines.wait(lambda: has(window, "#code"))
        look()
        window.press("#code", person.code() + ENTER)
        engines.wait(lambda: has(window, ".whoami"))
        assert has(window, ".whoami"), window.address

    def row(self, where: str) -> int:
        """Return the newest offer of which that is so; 0 if there is none."""
        query = f"SELECT coalesce(max(id), 0) AS row FROM offers WHERE {where}"
        return int(self.dashboard.rows(query)[0]["row"])

    def pile(self) -> str:
        """Return the query of the pile that the newest dead letter lies in."""
        names = "partner, upstream, outcome, status"
        query = f"SELECT {names} FROM offers WHERE id = :row"
        found = self.dashboard.rows(query, row=self.row("report = 'dead'"))
        return urlencode(found[0]) if found else "partner=NOBODY&upstream=nothing"


@contextmanager
def a_site(folder: Path, count: int) -> Iterator[Site]:
    """Yield a dashboard on SQLite with *count* offers; an empty one for 0."""
    url = f"sqlite:///{folder / 'optout.db'}"
    made = a_full_dashboard(folder, url, count) if count else a_dashboard(folder, url)
    with made as dashboard:
        listener = socket.create_server(("127.0.0.1", 0))
        server = create_server(dashboard.private, sockets=[listener], threads=4)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        try:
            _let_count(dashboard)
            port = listener.getsockname()[1]
            yield Site(dashboard, f"http://127.0.0.1:{port}")
        finally:
            server.close()
            thread.join()


def _let_count(dashboard: Dashboard) -> None:
    """Have what is counted in the background counted, so that the overview is whole."""
    visitor: Visitor = dashboard.signed_in()
    visitor.get("/admin/")
    assert dashboard.admin.extensions["counting"].wait(PATIENCE_S)


def has(window: Window, selector: str) -> bool:
    """Tell whether the page has such an element."""
    return bool(window.run("return document.querySelector(arguments[0]) !== null", selector))


def count(window: Window, selector: str) -> int:
    """Return how many such elements the page has."""
    return int(window.run("return document.querySelectorAll(arguments[0]).length", selector))


def text(window: Window) -> str:
    """Return what can be read on the page."""
    found = window.run("return document.body ? document.body.innerText : ''")
    return re.sub(r"\s+", " ", str(found))


def shows(window: Window, words: str) -> bool:
    """Wait until the page shows *words*, and tell whether it does."""
    engines.wait(lambda: words in text(window))
    return words in text(window)


# Each page, by its endpoint: the addresses at which it is looked at. Downloads are no pages.
VISITS: dict[str, Callable[[Site], list[str]]] = {
    "access.confirm": lambda _: ["confirm"],
    "account.show": lambda _: ["account"],
    "activity.listed": lambda _: ["activity"],
    "conflicts.waiting": lambda _: ["conflicts", "conflicts?partner=NOBODY"],
    "dead_letters.listed": lambda site: ["dead-letters", f"dead-letters?{site.pile()}"],
    "dead_letters.to_requeue": lambda site: [
        f"dead-letters/requeue?{site.pile()}",
        *(f"dead-letters/requeue?row={row}" for row in _rows(site)[-2:]),
    ],
    "deliveries.listed": lambda _: [
        "deliveries",
        "deliveries?before=400",
        "deliveries?report=dead&from=2020-01-01",
        "deliveries?order=none",
    ],
    "deliveries.shown": lambda site: [f"deliveries/{row}" for row in _rows(site)],
    "deliveries.to_erase": lambda site: [f"deliveries/{row}/erase" for row in _rows(site)[:2]],
    "exports.page": lambda _: ["report.html"],
    "exports.show": lambda _: ["exports"],
    "overview.show": lambda _: [""],
    "partners.listed": lambda _: ["partners"],
    "partners.shown": lambda site: [f"partners/{name}" for name in _partners(site)],
    "seals.show": lambda _: ["seals"],
    "users.listed": lambda _: ["users"],
}
ON_THE_WAY = {"access.login", "access.totp"}  # looked at while signing in
NO_PAGES = {
    "exports.offers",
    "exports.report",
    "exports.signed",
    "seals.newest",
    "single_sign_on.begin",
    "single_sign_on.finish",
    "static",
}
REFUSED = ("nothing-here", "deliveries?sort=id", "deliveries/999999999")


def _rows(site: Site) -> list[int]:
    """Return an offer of each kind."""
    wheres = ["conflicts = 'acceptance'", "conflicts = 'purchase'", "attempts > 1", "implicit"]
    states = ("none", "held", "due", "sending", "delivered", "cancelled", "abandoned", "dead")
    wheres += [f"report = '{state}'" for state in states]
    return [row for where in wheres if (row := site.row(where))]


def _partners(site: Site) -> list[str]:
    return sorted(site.dashboard.service.configuration.current.partners)
