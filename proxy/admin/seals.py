"""Seals: what vouches for the record, the newest to keep elsewhere, and verifying it all."""

import json
from typing import Any

from flask import Blueprint, Response, flash, redirect, render_template, request, url_for
from sqlalchemy import Connection, select
from werkzeug.wrappers import Response as Answer

from proxy import export, seals, verification
from proxy.actions import listed
from proxy.admin import asked
from proxy.admin.access import operators_only, record, user_name
from proxy.admin.parts import Parts
from proxy.admin.verifying import BEGAN, VERIFIED, verifier
from proxy.errors import Problem
from proxy.removals import newest as newest_removal
from proxy.schema import facts
from proxy.seals import Block
from proxy.verification import NoSeals, sentence

_SHOWN = 100  # partners
_MOST_BYTES = 1 << 20  # of what is given to check against
_LOOKED = 500  # actions, for the last verification of another process


def blueprint(parts: Parts) -> Blueprint:
    """Return the pages."""
    pages = Blueprint("seals", __name__)
    _add_verify(pages, parts)

    @pages.get("/seals")
    def show() -> str:
        asked.fields()
        with parts.database.read() as connection:
            found = _standing(connection, parts.database.now(connection))
            told = listed(connection, None, _LOOKED)
        return render_template(
            "admin/seals.html",
            **found,
            run=verifier().run,
            is_running=verifier().is_running,
            elsewhere=next((one for one in told if one["action"] in (VERIFIED, BEGAN)), None),
            sentence=sentence,
            kid=parts.signer.kid,
        )

    @pages.get("/seals/newest.json")
    def newest() -> Response:
        asked.fields()
        with parts.database.read() as connection:
            found = verification.newest(connection)
        if not found["seals"]:
            raise Problem("not_found", "nothing is sealed yet")
        record("took_seals")
        answer = Response(json.dumps(found, indent=2) + "\n", content_type="application/json")
        answer.headers["Content-Disposition"] = 'attachment; filename="seals.json"'
        return answer

    return pages


def _add_verify(pages: Blueprint, parts: Parts) -> None:
    @pages.post("/seals/verify")
    @operators_only
    def verify() -> Answer:
        try:
            keys = _public_keys(parts)
            given = _given("seals")
            kept = verification.kept_in(given, keys) if given else []
        except NoSeals as error:
            flash(f"What you gave {str(error).replace('--keys names', 'give the')}.", "bad")
            return redirect(url_for("seals.show"), 303)
        if verifier().begin(keys, kept, user_name()):
            record(BEGAN, f"against {len(kept)} kept seals" if kept else None)
        else:
            flash("A verification is under way already.", "warn")
        return redirect(url_for("seals.show"), 303)


def _standing(connection: Connection, now: int) -> dict[str, Any]:
    """Return what is sealed, and what is not yet."""
    chains, more = _chains(connection)
    since = seals.oldest_unsealed(connection)
    unsealed = _unsealed(connection) if since is not None else 0
    return {"now": now, "chains": chains, "more": more, "since": since, "unsealed": unsealed}


def _chains(connection: Connection) -> tuple[list[dict[str, Any]], bool]:
    """Return the newest seal of each of the first partners, and whether there are more."""
    found: list[dict[str, Any]] = []
    for partner in seals.partners(connection):
        if len(found) == _SHOWN:
            return found, True
        block: Block | None = seals.newest(connection, partner)
        if block:
            removed = newest_removal(connection, partner)
            found.append({"block": block, "hash": block.hash.hex(), "removed": removed})
    return found, False


def _unsealed(connection: Connection) -> int:
    """Return how many facts wait for a seal, up to a thousand."""
    latest = seals.latest(connection)
    query = select(facts.c.id).where(facts.c.id > (latest.last_fact if latest else 0))
    return len(connection.execute(query.limit(1_001)).all())


def _public_keys(parts: Parts) -> dict[str, Any]:
    """Return the public half of our signing key, and those that somebody gave."""
    keys = list(parts.signer.public_keys()["keys"])
    given = _given("keys")
    if given:
        try:
            export.read_keys(given)
        except ValueError:
            raise NoSeals("as keys is no JSON web key set with Ed25519 keys") from None
        keys += json.loads(given)["keys"]
    return {"keys": keys}


def _given(name: str) -> str:
    """Return what was uploaded as *name*, or pasted."""
    if (request.content_length or 0) > _MOST_BYTES:
        raise Problem("body_too_large")
    file = request.files.get(f"{name}_file")
    raw = file.stream.read(_MOST_BYTES) if file and file.filename else b""
    try:
        return (raw.decode() if raw else request.form.get(name, "")).strip()
    except UnicodeDecodeError:
        raise NoSeals("is no text") from None
