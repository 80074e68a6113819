"""What is on record: its schema, its keys, and what waits there for a person."""

from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Connection, select

from proxy import alerts, migrate, seals
from proxy.checks.findings import Finding, Findings, Verdict, fail, ok, or_ok, refused, warn
from proxy.clocks import time_of
from proxy.database import Database
from proxy.errors import ConfigurationError, StorageUnavailable
from proxy.figures import holds_facts
from proxy.ledger import Ledger
from proxy.receipts import Signer, load_audit_key, load_signing_key
from proxy.schema import facts, offers
from proxy.settings import Settings

_UNSEALED_MS = 5 * 60_000  # a block is closed at most every minute

_STANDING = {
    "dead": (
        "Reports given up{whose}: {count}, the oldest at {since}.",
        "`optout-proxy deliveries list --report dead` names them, `deliveries requeue` sends anew.",
    ),
    "conflict": (
        "Offers that contradict themselves{whose}: {count}, the oldest since {since}.",
        "`optout-proxy conflicts list` names them, `conflicts resolve` settles one.",
    ),
    "paused": (
        "Credentials paused, because the insurer refuses them: {count}, since {since}.",
        "`deliveries show ID` has the insurer's words, `check --online` tries them.",
    ),
    "overdue": (
        "Reports due and not sent{whose}: {count}, the oldest since {since}.",
        "Look whether a worker runs and can reach the insurer: `check --online`.",
    ),
}
_CALM = {
    "dead": "No report was given up.",
    "conflict": "No offer contradicts itself.",
    "paused": "No credential is paused.",
    "overdue": "Nothing is due for more than 15 minutes.",
}


def record_findings(settings: Settings, database: Database) -> Findings:
    """Judge what is on record, as far as there is anything."""
    found = _schema(database)
    yield found
    if found.verdict is not Verdict.OK or not holds_facts(database):
        is_on_record = holds_facts(database)
        yield from _keys(settings, is_on_record=is_on_record)
        return
    yield from _keys(settings, is_on_record=True)
    try:
        with database.read() as connection:
            yield from list(_judged(settings, database, connection))
    except StorageUnavailable as error:
        yield fail(
            "schema",
            f"The register can not be read ({error.__cause__}).",
            "`optout-proxy audit verify` says how far it is whole.",
        )


def _schema(database: Database) -> Finding:
    try:
        migrate.require_current(database)
    except StorageUnavailable:
        return ok("schema", "It will be made with the database.")
    except ConfigurationError as error:
        found = refused("schema", error)
        if database.is_sqlite and "migrate" in found.mend:
            return ok("schema", f"{found.says}: `serve` brings it up to date.")
        return found
    return ok("schema", "It is this version's.")


def _keys(settings: Settings, *, is_on_record: bool) -> Findings:
    """Tell of the two keys that are made at the first start, where they are not there yet."""
    if not settings.audit_key_file.exists():
        yield _missing_audit_key(settings, is_on_record=is_on_record)
    elif not is_on_record:
        yield _loaded("audit_key", settings.audit_key_file, load_audit_key)
    if not settings.signing_key_file.exists():
        yield _missing_signing_key(settings, is_on_record=is_on_record)
    elif not is_on_record:
        yield _loaded("signing_key", settings.signing_key_file, load_signing_key)


def _missing_audit_key(settings: Settings, *, is_on_record: bool) -> Finding:
    if is_on_record:
        return fail(
            "audit_key",
            f"{settings.audit_key_file} is gone, and facts are on record under it.",
            "Restore it: under a new key they would all look forged.",
        )
    return ok("audit_key", f"{settings.audit_key_file} will be made at the first start.")


def _missing_signing_key(settings: Settings, *, is_on_record: bool) -> Finding:
    if is_on_record:
        return warn(
            "signing_key",
            f"{settings.signing_key_file} is gone: the next start makes another, and what was "
            "signed before needs the old public key.",
            "Restore it.",
        )
    return ok("signing_key", f"{settings.signing_key_file} will be made at the first start.")


def _loaded(check: str, path: Path, load: Callable[[Path], object]) -> Finding:
    """Tell whether the key in *path*, which exists, can be used: one that is not would be made."""
    try:
        load(path)
    except ConfigurationError as error:
        return refused(check, error)
    return ok(check, f"{path} can be used.")


def _judged(settings: Settings, database: Database, connection: Connection) -> Findings:
    if settings.audit_key_file.exists():
        yield _audit_key(settings, connection)
    if settings.signing_key_file.exists():
        yield _signing_key(settings, connection)
    now = database.now(connection)
    found = list(alerts.standing(connection, now))
    for name, (says, mend) in _STANDING.items():
        told = [_standing(one, says, mend) for one in found if one.alert == name]
        yield from or_ok(told, name, _CALM[name])
    yield _sealed(connection, now)


def _standing(one: alerts.Standing, says: str, mend: str) -> Finding:
    whose = f" of {one.partner}" if one.partner else ""
    said = says.format(count=one.count, whose=whose, since=time_of(one.since))
    tell = warn if one.alert in ("dead", "conflict") else fail
    return tell(one.alert, said, mend)


def _audit_key(settings: Settings, connection: Connection) -> Finding:
    """Recompute the newest fact: under another key it would not come out."""
    try:
        key, _ = load_audit_key(settings.audit_key_file)
    except ConfigurationError as error:
        return refused("audit_key", error)
    query = select(facts, offers.c.upstream, offers.c.offer).join_from(facts, offers)
    row = connection.execute(query.order_by(facts.c.id.desc()).limit(1)).mappings().first()
    if row and Ledger(key).digest(dict(row), row["upstream"], row["offer"]) != row["digest"]:
        return fail(
            "audit_key",
            f"The newest fact was not written under {settings.audit_key_file}, or was changed.",
            "Restore the key that belongs to this database; `optout-proxy audit verify` says more.",
        )
    return ok("audit_key", "The newest fact was written under it.")


def _signing_key(settings: Settings, connection: Connection) -> Finding:
    try:
        key, _ = load_signing_key(settings.signing_key_file)
    except ConfigurationError as error:
        return refused("signing_key", error)
    kid = Signer(key, settings.audience).kid
    newest = seals.latest(connection)
    if newest and newest.kid != kid:
        return warn(
            "signing_key",
            f"Its kid is {kid}, and the newest seal is of {newest.kid}: it is another key.",
            "Restore the key that belongs to this database; if it was changed on purpose, keep "
            "the old public key for what it signed.",
        )
    return ok("signing_key", f"Receipts and seals are signed as {kid}.")


def _sealed(connection: Connection, now: int) -> Finding:
    since = seals.oldest_unsealed(connection)
    if since is not None and now - since > _UNSEALED_MS:
        return warn(
            "seals",
            f"Facts wait for their seal since {time_of(since)}; a block is closed every minute.",
            "Start `serve`, or `work` on PostgreSQL; if one runs, its log says why.",
        )
    newest = seals.latest(connection)
    last = f"the newest seal is of {time_of(newest.sealed_at)}" if newest else "there is no seal"
    return ok("seals", f"Nothing waits for long; {last}.")
