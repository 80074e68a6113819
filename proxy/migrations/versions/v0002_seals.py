"""Seals: blocks of facts and what was removed of them, both append-only as facts are."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make both tables, and the triggers that refuse a change of them."""
    _blocks()
    _removals()
    if op.get_bind().dialect.name == "sqlite":
        _append_only_on_sqlite()
    else:
        _append_only_on_postgresql()


def _blocks() -> None:
    op.create_table(
        "blocks",
        sa.Column("partner", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("first_fact", sa.BigInteger(), nullable=False),
        sa.Column("last_fact", sa.BigInteger(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("previous", sa.LargeBinary(), nullable=True),
        sa.Column("sealed_at", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("kid", sa.Text(), nullable=False),
        sa.Column("signature", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("partner", "number"),
        sa.UniqueConstraint("last_fact", name="blocks_last_fact"),
    )


def _removals() -> None:
    op.create_table(
        "removals",
        sa.Column("partner", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("removed_at", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("kid", sa.Text(), nullable=False),
        sa.Column("signature", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("partner", "number"),
        sa.ForeignKeyConstraint(["partner", "number"], ["blocks.partner", "blocks.number"]),
    )


# Written out, so that a test can read that nothing but our own tables is guarded.
def _append_only_on_sqlite() -> None:
    op.execute(
        "CREATE TRIGGER blocks_no_update BEFORE UPDATE ON blocks "
        "BEGIN SELECT RAISE(ABORT, 'blocks are append-only'); END"
    )
    op.execute(
        "CREATE TRIGGER blocks_no_delete BEFORE DELETE ON blocks "
        "BEGIN SELECT RAISE(ABORT, 'blocks are append-only'); END"
    )
    op.execute(
        "CREATE TRIGGER removals_no_update BEFORE UPDATE ON removals "
        "BEGIN SELECT RAISE(ABORT, 'removals are append-only'); END"
    )
    op.execute(
        "CREATE TRIGGER removals_no_delete BEFORE DELETE ON removals "
        "BEGIN SELECT RAISE(ABORT, 'removals are append-only'); END"
    )


def _append_only_on_postgresql() -> None:
    op.execute(
        "CREATE FUNCTION seals_refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION '% are append-only', TG_TABLE_NAME; END $$"
    )
    op.execute(
        "CREATE TRIGGER blocks_no_change BEFORE UPDATE OR DELETE ON blocks "
        "FOR EACH ROW EXECUTE FUNCTION seals_refuse()"
    )
    op.execute(
        "CREATE TRIGGER blocks_no_truncate BEFORE TRUNCATE ON blocks "
        "FOR EACH STATEMENT EXECUTE FUNCTION seals_refuse()"
    )
    op.execute(
        "CREATE TRIGGER removals_no_change BEFORE UPDATE OR DELETE ON removals "
        "FOR EACH ROW EXECUTE FUNCTION seals_refuse()"
    )
    op.execute(
        "CREATE TRIGGER removals_no_truncate BEFORE TRUNCATE ON removals "
        "FOR EACH STATEMENT EXECUTE FUNCTION seals_refuse()"
    )
