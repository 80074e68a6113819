"""The first schema: register, facts, buckets, open tokens, idempotency keys."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

_APPEND_ONLY = {
    "sqlite": (
        (
            "CREATE TRIGGER facts_no_update BEFORE UPDATE ON facts "
            "BEGIN SELECT RAISE(ABORT, 'facts are append-only'); END"
        ),
        (
            "CREATE TRIGGER facts_no_delete BEFORE DELETE ON facts "
            "BEGIN SELECT RAISE(ABORT, 'facts are append-only'); END"
        ),
    ),
    "postgresql": (
        (
            "CREATE FUNCTION facts_refuse() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'facts are append-only'; END $$"
        ),
        (
            "CREATE TRIGGER facts_no_change BEFORE UPDATE OR DELETE ON facts "
            "FOR EACH ROW EXECUTE FUNCTION facts_refuse()"
        ),
        (
            "CREATE TRIGGER facts_no_truncate BEFORE TRUNCATE ON facts "
            "FOR EACH STATEMENT EXECUTE FUNCTION facts_refuse()"
        ),
    ),
}

_OFFERS: tuple[Any, ...] = (
    sa.Column("id", _ID, autoincrement=True, nullable=False),
    sa.Column("partner", sa.Text(), nullable=False),
    sa.Column("upstream", sa.Text(), nullable=False),
    sa.Column("offer", sa.Text(), nullable=False),
    sa.Column("choice", sa.Text(), nullable=False),
    sa.Column("seq", sa.BigInteger(), nullable=False),
    sa.Column("message", sa.Text(), nullable=True),
    sa.Column("writer", sa.Text(), nullable=True),
    sa.Column("chosen_at", sa.BigInteger(), nullable=True),
    sa.Column("implicit", sa.Boolean(), nullable=False),
    sa.Column("late", sa.Boolean(), nullable=False),
    sa.Column("reconciled", sa.Boolean(), nullable=False),
    sa.Column("purchased", sa.Boolean(), nullable=False),
    sa.Column("purchased_seq", sa.BigInteger(), nullable=True),
    sa.Column("order_reference", sa.Text(), nullable=True),
    sa.Column("conflicts", sa.Text(), nullable=False),
    sa.Column("metadata", sa.Text(), nullable=False),
    sa.Column("product", sa.Text(), nullable=True),
    sa.Column("customer", sa.LargeBinary(), nullable=True),
    sa.Column("customer_key", sa.Text(), nullable=True),
    sa.Column("report", sa.Text(), nullable=False),
    sa.Column("epoch", sa.Integer(), nullable=False),
    sa.Column("due_at", sa.BigInteger(), nullable=True),
    sa.Column("claim", sa.Text(), nullable=True),
    sa.Column("attempts", sa.Integer(), nullable=False),
    sa.Column("claims", sa.Integer(), nullable=False),
    sa.Column("attempt_at", sa.BigInteger(), nullable=True),
    sa.Column("unknown_at", sa.BigInteger(), nullable=True),
    sa.Column("body", sa.Text(), nullable=True),
    sa.Column("outcome", sa.Text(), nullable=True),
    sa.Column("status", sa.Integer(), nullable=True),
    sa.Column("facts", sa.Integer(), nullable=False),
    sa.Column("digest", sa.LargeBinary(), nullable=True),
    sa.Column("created_at", sa.BigInteger(), nullable=False),
    sa.Column("updated_at", sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint("id"),
    sa.UniqueConstraint("partner", "upstream", "offer", name="offers_key"),
)

_FACTS: tuple[Any, ...] = (
    sa.Column("id", _ID, autoincrement=True, nullable=False),
    sa.Column("partner", sa.Text(), nullable=False),
    sa.Column("offer_id", _ID, nullable=False),
    sa.Column("ordinal", sa.Integer(), nullable=False),
    sa.Column("kind", sa.Text(), nullable=False),
    sa.Column("at", sa.BigInteger(), nullable=False),
    sa.Column("source", sa.Text(), nullable=False),
    sa.Column("message", sa.Text(), nullable=True),
    sa.Column("said", sa.Text(), nullable=True),
    sa.Column("seq", sa.BigInteger(), nullable=True),
    sa.Column("said_at", sa.BigInteger(), nullable=True),
    sa.Column("writer", sa.Text(), nullable=True),
    sa.Column("purchased", sa.Boolean(), nullable=False),
    sa.Column("tries", sa.Integer(), nullable=True),
    sa.Column("order_hash", sa.Text(), nullable=True),
    sa.Column("metadata_hash", sa.Text(), nullable=True),
    sa.Column("choice", sa.Text(), nullable=False),
    sa.Column("report", sa.Text(), nullable=False),
    sa.Column("epoch", sa.Integer(), nullable=False),
    sa.Column("conflicts", sa.Text(), nullable=False),
    sa.Column("superseded", sa.Boolean(), nullable=False),
    sa.Column("attempt", sa.Integer(), nullable=True),
    sa.Column("outcome", sa.Text(), nullable=True),
    sa.Column("status", sa.Integer(), nullable=True),
    sa.Column("note", sa.Text(), nullable=True),
    sa.Column("digest", sa.LargeBinary(), nullable=False),
    sa.ForeignKeyConstraint(
        ["offer_id"],
        ["offers.id"],
    ),
    sa.PrimaryKeyConstraint("id"),
    sa.UniqueConstraint("offer_id", "ordinal", name="facts_ordinal"),
    sa.UniqueConstraint("partner", "message", name="facts_message"),
)

_BUCKETS: tuple[Any, ...] = (
    sa.Column("bucket", sa.Text(), nullable=False),
    sa.Column("next_us", sa.BigInteger(), nullable=False),
    sa.Column("shut_until", sa.BigInteger(), nullable=False),
    sa.Column("paused_at", sa.BigInteger(), nullable=True),
    sa.Column("probe_at", sa.BigInteger(), nullable=True),
    sa.Column("probe_delay", sa.Float(), nullable=True),
    sa.Column("suspect", _ID, nullable=True),
    sa.Column("reason", sa.Text(), nullable=True),
    sa.PrimaryKeyConstraint("bucket"),
)

_OPEN_TOKENS: tuple[Any, ...] = (
    sa.Column("partner", sa.Text(), nullable=False),
    sa.Column("jti", sa.Text(), nullable=False),
    sa.Column("offer", sa.Text(), nullable=False),
    sa.Column("created_at", sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint("partner", "jti", "offer"),
)

_IDEMPOTENCY_KEYS: tuple[Any, ...] = (
    sa.Column("partner", sa.Text(), nullable=False),
    sa.Column("key", sa.Text(), nullable=False),
    sa.Column("digest", sa.Text(), nullable=False),
    sa.Column("jti", sa.Text(), nullable=False),
    sa.Column("created_at", sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint("partner", "key"),
)


def upgrade() -> None:
    """Make every table, its indexes, and the triggers that keep facts append-only."""
    _offers()
    _facts()
    _buckets()
    _open_tokens()
    _idempotency_keys()
    for statement in _APPEND_ONLY[op.get_bind().dialect.name]:
        op.execute(statement)


def _offers() -> None:
    op.create_table("offers", *_OFFERS)
    op.create_index(
        "offers_conflict",
        "offers",
        ["partner", "updated_at"],
        unique=False,
        sqlite_where=sa.text("conflicts <> ''"),
        postgresql_where=sa.text("conflicts <> ''"),
    )
    op.create_index(
        "offers_dead",
        "offers",
        ["partner", "updated_at"],
        unique=False,
        sqlite_where=sa.text("report = 'dead'"),
        postgresql_where=sa.text("report = 'dead'"),
    )
    op.create_index(
        "offers_due",
        "offers",
        ["partner", "upstream", "due_at"],
        unique=False,
        sqlite_where=sa.text("report = 'due'"),
        postgresql_where=sa.text("report = 'due'"),
    )
    op.create_index(
        "offers_timer",
        "offers",
        ["due_at"],
        unique=False,
        sqlite_where=sa.text("due_at IS NOT NULL AND report <> 'due'"),
        postgresql_where=sa.text("due_at IS NOT NULL AND report <> 'due'"),
    )


def _facts() -> None:
    op.create_table("facts", *_FACTS)


def _buckets() -> None:
    op.create_table("buckets", *_BUCKETS)


def _open_tokens() -> None:
    op.create_table("open_tokens", *_OPEN_TOKENS)


def _idempotency_keys() -> None:
    op.create_table("idempotency_keys", *_IDEMPOTENCY_KEYS)
