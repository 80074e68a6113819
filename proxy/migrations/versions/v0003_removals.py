"""Facts may go, but only those of a sealed block whose removal is on record."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Have the trigger on facts look for the removal."""
    if op.get_bind().dialect.name == "sqlite":
        _loosen_on_sqlite()
    else:
        _loosen_on_postgresql()


# The plus keeps SQLite from reading all blocks of the partner for each fact.
def _loosen_on_sqlite() -> None:
    op.execute("DROP TRIGGER facts_no_delete")
    op.execute(
        "CREATE TRIGGER facts_no_delete BEFORE DELETE ON facts "
        "WHEN NOT EXISTS (SELECT 1 FROM removals JOIN blocks USING (partner, number) "
        "WHERE removals.partner = OLD.partner AND blocks.first_fact <= OLD.id "
        "AND removals.number = (SELECT number FROM blocks AS one "
        "WHERE +one.partner = OLD.partner AND one.last_fact >= OLD.id "
        "ORDER BY one.last_fact LIMIT 1)) "
        "BEGIN SELECT RAISE(ABORT, 'facts are append-only'); END"
    )


def _loosen_on_postgresql() -> None:
    op.execute(
        "CREATE FUNCTION facts_keep() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN "
        "IF EXISTS (SELECT 1 FROM removals JOIN blocks USING (partner, number) "
        "WHERE removals.partner = OLD.partner AND blocks.first_fact <= OLD.id "
        "AND removals.number = (SELECT number FROM blocks AS one "
        "WHERE one.partner = OLD.partner AND one.last_fact >= OLD.id "
        "ORDER BY one.last_fact LIMIT 1)) "
        "THEN RETURN OLD; END IF; "
        "RAISE EXCEPTION 'facts are append-only'; END $$"
    )
    op.execute("DROP TRIGGER facts_no_change ON facts")
    op.execute(
        "CREATE TRIGGER facts_no_update BEFORE UPDATE ON facts "
        "FOR EACH ROW EXECUTE FUNCTION facts_refuse()"
    )
    op.execute(
        "CREATE TRIGGER facts_no_delete BEFORE DELETE ON facts "
        "FOR EACH ROW EXECUTE FUNCTION facts_keep()"
    )
