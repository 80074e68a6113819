"""A dashboard on a real register, and visitors that sign in as people do. No process of its own."""

import itertools
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyotp
from flask import Flask
from sqlalchemy import Connection, text
from werkzeug.test import Client, TestResponse

from proxy import migrate, passwords
from proxy.accounts import Accounts, Change
from proxy.admin.app import create_admin
from proxy.app import Service, parts_of
from proxy.clocks import wall
from proxy.database import Database
from proxy.one_time import Codes
from proxy.one_time import fresh as fresh_secret
from proxy.reload import Configuration
from proxy.settings import load
from proxy.web.private import create_private

_SETTINGS = """
database = "{database}"
audience = "optout-proxy:test"
public_url = "https://proxy.shop.example"
{top}
[partners.ACME]
origins = ["https://shop.example"]
signing_keys = [{{ kid = "acme-1", secret = "{signing}" }}]
[partners.ACME.upstreams.tickets]
api = "xcover-offers"
base_url = "http://127.0.0.1:9"
partner_code = "LLODT"
hmac = {{ api_key = "key-1", api_secret = "{api}" }}
"""
_HIDDEN = re.compile(r'name="csrf_token" value="([^"]+)"')
LOCAL = "http://127.0.0.1:8081"
PAGE = {"Accept": "text/html"}
_numbers = itertools.count(1)


@dataclass
class Person:
    """A user with all that only the user knows."""

    name: str
    password: str = field(repr=False)
    secret: str = field(repr=False)  # of the authenticator

    def code(self, steps: int = 0) -> str:
        """Return the one-time code of now, or of some steps away."""
        return pyotp.TOTP(self.secret).at(wall() // 1000 + 30 * steps)


class Visitor:
    """A browser without scripts: it keeps cookies, and sends forms with what is hidden in them."""

    def __init__(self, client: Client, base: str = LOCAL, peer: str = "127.0.0.1") -> None:
        self.client = client
        self.base = base
        self.peer = peer
        self.headers = PAGE  # that each request has

    def get(self, path: str, **headers: str) -> TestResponse:
        """Ask for a page."""
        return self.ask("GET", path, headers=headers)

    def post(self, path: str, token: str | None = None, /, **fields: str) -> TestResponse:
        """Send a form, with the token that forms of this visitor have hidden in them."""
        given = self.token() if token is None else token
        return self.ask("POST", path, data={"csrf_token": given, **fields})

    def ask(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, **more: Any
    ) -> TestResponse:
        """Make any request; `_` in a header's name stands for `-`."""
        return self.client.open(
            path,
            method=method,
            base_url=self.base,
            headers={**self.headers, **_named(headers or {})},
            environ_overrides={"REMOTE_ADDR": self.peer},
            **more,
        )

    def token(self) -> str:
        """Return what forms of this visitor carry."""
        for path in ("/admin/login", "/admin/confirm"):
            if found := token_in(self.get(path).text):
                return found
        raise AssertionError("no page with a form")

    def sign_in(self, person: Person) -> TestResponse:
        """Sign in as *person*; return the last answer."""
        answer = self.post("/admin/login", name=person.name, password=person.password)
        assert answer.status_code == 303, answer.text
        return self.post("/admin/totp", code=person.code())


@dataclass
class Dashboard:
    """The private listener with the dashboard in it, and the register under it."""

    service: Service
    admin: Flask
    private: Flask

    @property
    def database(self) -> Database:
        """The register's database."""
        return self.service.database

    def visitor(self, base: str = LOCAL, peer: str = "127.0.0.1") -> Visitor:
        """Return somebody who is not signed in, at *base*, seen as *peer*."""
        return Visitor(Client(self.private), base, peer)

    def person(self, role: str = "viewer", name: str | None = None) -> Person:
        """Make a new user."""
        made = Person(
            name=name or f"{role}-{next(_numbers)}",
            password=secrets.token_urlsafe(18),
            secret=fresh_secret(),
        )
        change = Change(
            do="add",
            name=made.name,
            role=role,
            password=passwords.hashed(made.password),
            totp=Codes(self.service.audit_key).seal(made.secret, made.name),
        )
        assert Accounts(self.database).change(change) is None
        return made

    def signed_in(self, role: str = "viewer") -> Visitor:
        """Return a new user of *role* who has signed in."""
        visitor = self.visitor()
        answer = visitor.sign_in(self.person(role))
        assert answer.status_code == 303, answer.text
        return visitor

    def rows(self, query: str, **values: Any) -> list[dict[str, Any]]:
        """Return what a query finds."""
        with self.database.read() as connection:
            return [dict(row) for row in connection.execute(text(query), values).mappings()]

    def execute(self, statement: str, **values: Any) -> None:
        """Change something behind the dashboard's back."""

        def run(connection: Connection, asked: list[None]) -> list[None]:
            connection.execute(text(statement), values)
            return asked

        self.database.write(run, None)


@contextmanager
def a_dashboard(folder: Path, url: str, top: str = "") -> Iterator[Dashboard]:
    """Yield a dashboard on the database at *url*; *top* are settings above the tables."""
    config = folder / "optout.toml"
    signing = f"ots_test_{secrets.token_urlsafe(32)}"
    config.write_text(
        _SETTINGS.format(database=url, top=top, signing=signing, api=secrets.token_urlsafe(24))
    )
    configuration = Configuration(load(config, {}), config, {})
    register = Database(url, wall)
    migrate.upgrade(register)
    register.dispose()
    service = Service(configuration, with_worker=False)
    service.start()
    try:
        admin = create_admin(parts_of(service))
        private = create_private(configuration, list, dict, admin=admin)
        yield Dashboard(service, admin, private)
    finally:
        service.stop()


def token_in(page: str) -> str:
    """Return what is hidden in the forms of *page*; nothing if there is none."""
    found = _HIDDEN.search(page)
    return found[1] if found else ""


def _named(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}
