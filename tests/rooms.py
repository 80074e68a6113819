"""The architecture: the homes of libraries, the walls, the straight line. Data only."""

from tests.architecture import table

# The rows of programmes that stand beside the proxy; `may_import.py` has all others.
ROOMS_APART = table("""
sandbox
sandbox.answers                  sandbox.packages sandbox.routes sandbox.wire
sandbox.app                      sandbox.answers sandbox.broken sandbox.desk sandbox.faults
                                 sandbox.ledger sandbox.options sandbox.routes sandbox.signatures
                                 sandbox.spoiled sandbox.tokens sandbox.wire
sandbox.bodies                   sandbox.answers sandbox.routes sandbox.wire
sandbox.broken                   sandbox.faults sandbox.wire
sandbox.control                  sandbox.app sandbox.faults sandbox.wire
sandbox.desk                     sandbox.answers sandbox.bodies sandbox.faults sandbox.idempotency
                                 sandbox.ledger sandbox.options sandbox.packages sandbox.routes
                                 sandbox.throttle sandbox.wire
sandbox.faults                   sandbox.routes
sandbox.idempotency
sandbox.ledger                   sandbox.routes sandbox.signatures sandbox.wire
sandbox.listener                 sandbox.app sandbox.broken sandbox.wire
sandbox.options
sandbox.packages                 sandbox.options
sandbox.routes
sandbox.serve                    sandbox.app sandbox.control sandbox.faults sandbox.listener
                                 sandbox.options sandbox.wire
sandbox.signatures               sandbox.wire
sandbox.spoiled                  sandbox.answers sandbox.faults sandbox.options sandbox.routes
                                 sandbox.wire
sandbox.throttle
sandbox.tokens                   sandbox.options sandbox.signatures sandbox.wire
sandbox.wire

demo
demo.children
demo.config
demo.orders                      choices demo.programme
demo.programme
demo.proofs                      demo.config demo.witnesses
demo.run                         demo.children demo.config demo.operator demo.proofs demo.shop
                                 demo.witnesses errors tokens
demo.shop                        assets choices demo.operator demo.orders demo.programme demo.story
                                 demo.witnesses
demo.story                       demo.orders demo.witnesses
demo.witnesses
demo.operator

migrations
migrations.env                   schema
migrations.versions
migrations.versions.v0001_first
migrations.versions.v0002_seals
migrations.versions.v0003_removals
migrations.versions.v0004_access
""")

# A library has few homes, so that it can be judged, and replaced, in one place.
HOMES = table("""
alembic            migrate migrations
argon2             passwords
authlib            admin.identity
click              cli demo
cryptography       export ledger one_time privacy receipts
flask              admin demo listeners sandbox serve web
flask_cors         web.cors
flask_login        admin
flask_wtf          admin
gunicorn           logs serve
itsdangerous       tokens
jinja2             report_page
joserfc            admin.identity
limits             checks web.limits
markupsafe         report_page
opentelemetry      traces
os.environ         cli demo.children telemetry traces
os.getenv
prometheus_client  counters listeners web
psycopg
pydantic           secret settings settings_fields settings_refusals settings_sources
                   settings_tables settings_upstreams
pydantic_core      secret settings_refusals settings_tables
pydantic_settings  settings settings_sources
pyotp              demo one_time
requests           checks demo exchange visits wire
segno              cli.users
sqlalchemy         accounts actions admin alerts aside audit backup browse checks conflicts
                   database dead_letters deliveries engines erasure export figures funnel intake
                   leases ledger logins migrate migrations notices outbox overview pace piles
                   prepared reconcile removals report retention schema sealer seals store uses
                   verification waiting
sqlite3            backup checks cli.backup engines erasure reconcile
urllib3            exchange visits wire
waitress           demo listeners sandbox
werkzeug           admin demo sandbox web
""")

# Whom a room must not reach even through others: secrets have one door, and it is not the web's.
WALLS = table("""
admin  credentials oauth outbox sender worker
web    credentials oauth outbox sender worker
""")

# From a click to a verified request upstream, step by step; what the steps stand on (settings,
# database, tables, ledger, sockets) is not counted.
STRAIGHT_LINE = table("""
verify   tokens claims choices
parse    web.choices web.forms web.fields web.messages
record   intake register store
claim    worker outbox leases pace reporting
stamp    credentials signature oauth
send     sender exchange judge upstreams
""")

VAGUE = {"base", "common", "core", "helpers", "lib", "misc", "models", "services", "util", "utils"}
