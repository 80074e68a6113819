"""The tables, once for both engines. Times are integer Unix milliseconds unless named otherwise."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)

_ID = BigInteger().with_variant(Integer, "sqlite")  # SQLite's rowid must be an INTEGER

metadata = MetaData()

offers = Table(
    "offers",
    metadata,
    # The register: the latest choice per (partner, upstream, offer) ...
    Column("id", _ID, primary_key=True, autoincrement=True),
    Column("partner", Text, nullable=False),
    Column("upstream", Text, nullable=False),
    Column("offer", Text, nullable=False),
    Column("choice", Text, nullable=False),
    Column("seq", BigInteger, nullable=False),  # of the choice; 0 while undecided or implied
    Column("message", Text),  # id of the message that made the choice
    Column("writer", Text),  # `jti` of its token, or "server"
    Column("chosen_at", BigInteger),  # by the writer's clock
    Column("implicit", Boolean, nullable=False),
    Column("late", Boolean, nullable=False),
    Column("reconciled", Boolean, nullable=False),
    Column("purchased", Boolean, nullable=False),
    Column("purchased_seq", BigInteger),
    Column("order_reference", Text),
    Column("conflicts", Text, nullable=False),  # what a person must look at, space separated
    Column("metadata", Text, nullable=False),  # JSON object of flat scalars
    Column("product", Text),  # metadata's `product`, kept for the funnel when metadata is erased
    Column("customer", LargeBinary),  # encrypted
    Column("customer_key", Text),  # the file that decrypts it
    # ... and its report to the insurer.
    Column("report", Text, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("due_at", BigInteger),  # when the next thing happens: implied, abandoned, sent, lapsed
    Column("claim", Text),  # fences the finish
    Column("attempts", Integer, nullable=False),  # of this epoch
    Column("claims", Integer, nullable=False),  # in a row without an answer
    Column("attempt_at", BigInteger),  # when the latest attempt might leave
    Column("unknown_at", BigInteger),  # first attempt of this epoch whose answer is unknown
    Column("body", Text),  # frozen at the first claim of the epoch
    Column("outcome", Text),  # reason of the latest attempt
    Column("status", Integer),  # HTTP status of the latest attempt
    # Evidence: how many facts there are, and the digest of the last.
    Column("facts", Integer, nullable=False),
    Column("digest", LargeBinary),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    UniqueConstraint("partner", "upstream", "offer", name="offers_key"),
)

# Partial, so that finished rows, however many, cost neither the claim nor the accept anything.
Index(
    "offers_due",
    offers.c.partner,
    offers.c.upstream,
    offers.c.due_at,
    sqlite_where=text("report = 'due'"),
    postgresql_where=text("report = 'due'"),
)
Index(
    "offers_timer",
    offers.c.due_at,
    sqlite_where=text("due_at IS NOT NULL AND report <> 'due'"),
    postgresql_where=text("due_at IS NOT NULL AND report <> 'due'"),
)
Index(
    "offers_dead",
    offers.c.partner,
    offers.c.updated_at,
    sqlite_where=text("report = 'dead'"),
    postgresql_where=text("report = 'dead'"),
)
Index(
    "offers_conflict",
    offers.c.partner,
    offers.c.updated_at,
    sqlite_where=text("conflicts <> ''"),
    postgresql_where=text("conflicts <> ''"),
)

facts = Table(
    "facts",
    metadata,
    Column("id", _ID, primary_key=True, autoincrement=True),
    Column("partner", Text, nullable=False),
    Column("offer_id", _ID, ForeignKey("offers.id"), nullable=False),
    Column("ordinal", Integer, nullable=False),  # from 1, without a gap, per offer
    Column("kind", Text, nullable=False),
    Column("at", BigInteger, nullable=False),  # by our clock
    Column("source", Text, nullable=False),
    Column("message", Text),  # id, as sent
    Column("said", Text),  # the message's own choice
    Column("seq", BigInteger),  # as sent
    Column("said_at", BigInteger),  # by the writer's clock
    Column("writer", Text),
    Column("purchased", Boolean, nullable=False),
    Column("tries", Integer),
    Column("order_hash", Text),  # keyed; the value lives in the offer's row
    Column("metadata_hash", Text),
    Column("choice", Text, nullable=False),  # the register after this fact, as the next four
    Column("report", Text, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("conflicts", Text, nullable=False),
    Column("superseded", Boolean, nullable=False),
    Column("attempt", Integer),
    Column("outcome", Text),
    Column("status", Integer),
    Column("note", Text),
    Column("digest", LargeBinary, nullable=False),
    UniqueConstraint("partner", "message", name="facts_message"),
    UniqueConstraint("offer_id", "ordinal", name="facts_ordinal"),
)

blocks = Table(
    "blocks",
    metadata,
    # Ranges of facts, closed and signed. A fact up to the newest of all lies in one of its partner.
    Column("partner", Text, primary_key=True),
    Column("number", Integer, primary_key=True),  # from 1, without a gap, per partner
    Column("first_fact", BigInteger, nullable=False),  # ids
    Column("last_fact", BigInteger, nullable=False),
    Column("count", Integer, nullable=False),  # of its facts
    Column("total", BigInteger, nullable=False),  # of its facts and those of all blocks before
    Column("digest", LargeBinary, nullable=False),  # over its facts' digests, in order of id
    Column("previous", LargeBinary),  # hash of the block before
    Column("sealed_at", BigInteger, nullable=False),
    Column("hash", LargeBinary, nullable=False),  # over all of the above
    Column("kid", Text, nullable=False),
    Column("signature", Text, nullable=False),
    UniqueConstraint("last_fact", name="blocks_last_fact"),  # nothing is sealed twice
)

# What retention has taken away: the facts of a block, while the block stays.
removals = Table(
    "removals",
    metadata,
    Column("partner", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("hash", LargeBinary, nullable=False),  # of the block, as sealed
    Column("count", Integer, nullable=False),
    Column("removed_at", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("kid", Text, nullable=False),
    Column("signature", Text, nullable=False),
    ForeignKeyConstraint(["partner", "number"], ["blocks.partner", "blocks.number"]),
)

buckets = Table(
    "buckets",
    metadata,
    Column("bucket", Text, primary_key=True),  # one per base host and api key or client id
    Column("next_us", BigInteger, nullable=False),  # next free permit, Unix microseconds
    Column("shut_until", BigInteger, nullable=False),  # after a 429
    Column("paused_at", BigInteger),  # the credential is at fault
    Column("probe_at", BigInteger),
    Column("probe_delay", Float),  # seconds
    Column("suspect", _ID),  # the row whose 403 only a probe on another row explains
    Column("reason", Text),
)

open_tokens = Table(
    "open_tokens",
    metadata,
    Column("partner", Text, primary_key=True),
    Column("jti", Text, primary_key=True),
    Column("offer", Text, primary_key=True),
    Column("created_at", BigInteger, nullable=False),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("partner", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("digest", Text, nullable=False),  # of the request
    Column("jti", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
)

# The dashboard: who may use it, who is signed in, and what they did there.
users = Table(
    "users",
    metadata,
    Column("name", Text, primary_key=True),
    Column("role", Text, nullable=False),  # `viewer` or `operator`
    Column("password", Text),  # argon2id; none for who comes through single sign-on only
    Column("totp", LargeBinary),  # encrypted; none until it is set up
    Column("totp_step", BigInteger, nullable=False),  # the newest 30 s whose code was used
    Column("failures", Integer, nullable=False),  # in a row
    Column("failed_at", BigInteger),
    Column("created_at", BigInteger, nullable=False),
    Column("disabled_at", BigInteger),
)

admin_sessions = Table(
    "admin_sessions",
    metadata,
    Column("digest", LargeBinary, primary_key=True),  # of the id that the cookie holds
    Column("user", Text, ForeignKey("users.name"), nullable=True),  # once signed in
    Column("data", Text, nullable=False),  # JSON
    Column("created_at", BigInteger, nullable=False),
    Column("seen_at", BigInteger, nullable=False),  # to the minute
)

actions = Table(
    "actions",
    metadata,
    Column("id", _ID, primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False),
    Column("user", Text, nullable=False),
    Column("action", Text, nullable=False),  # `signed_in`, `requeued`, ...
    Column("subject", Text),  # what it was done to
    Column("address", Text),  # where it was done from
)
