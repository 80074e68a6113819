"""The architecture: what each module may know. Data only; the rules are in `architecture.py`."""

from tests.architecture import table

# The whole of what each module knows of the others. A new import is a new word in this table.
MAY_IMPORT = table("""
assets
choices
clocks
errors
origins
pages
policies
prepared
schema
signature
strictjson
durable
upstreams
waiting
wakeup
wire
claims                           errors origins strictjson
page_controls                    pages
visits                           exchange origins wire
engines                          errors
database                         engines errors
backup                           choices database durable errors ledger migrate register
                                 reporting schema store
deliveries                       schema
exchange                         upstreams wire
lock                             errors
logs                             errors
pace                             choices schema
receipts                         choices durable errors
register                         choices
secret                           errors
settings_refusals                secret
settings_fields                  origins upstreams
uses                             choices errors schema
judge                            choices exchange
ledger                           choices prepared register schema
metadata                         register
migrate                          database engines errors
privacy                          choices durable errors register upstreams
sealer                           database errors seals
seals                            receipts schema
removals                         schema seals
audit                            ledger removals schema seals
funnel                           removals schema
retention                        database removals schema seals
upkeep                           database erasure errors privacy retention uses
export                           clocks durable funnel ledger schema
reporting                        choices register
settings_tables                  secret
oauth                            exchange judge upstreams wire
settings_sources                 errors secret settings_tables
settings_upstreams               secret settings_fields settings_tables upstreams
store                            choices ledger prepared register schema
credentials                      errors exchange oauth secret settings_upstreams signature
                                 upstreams wire
intake                           choices database errors ledger metadata privacy register schema
                                 store uses
leases                           choices ledger pace privacy register reporting schema store
                                 upstreams waiting
settings                         errors secret settings_fields settings_refusals settings_sources
                                 settings_tables settings_upstreams
keys                             errors settings
outbox                           choices database leases ledger pace privacy register reporting
                                 schema store waiting
reload                           errors settings
sender                           choices credentials exchange judge oauth settings_upstreams
                                 upstreams wire
alerts                           clocks database errors exchange schema settings upstreams
conflicts                        choices database ledger register schema store
control                          conflicts dead_letters erasure errors intake missing retention
dead_letters                     choices database ledger register reporting store
erasure                          choices database ledger register reporting schema store
figures                          database errors leases schema seals
notices                          engines
windows                          choices waiting
missing                          choices errors intake
reconcile                        choices missing removals schema
orders                           choices errors reconcile register secret settings_tables
                                 upstreams web.cards
tokens                           choices claims errors keys settings
inspection                       claims tokens
page_tokens                      errors inspection pages settings tokens visits
page_check                       clocks page_controls page_tokens pages policies settings visits
worker                           choices errors leases outbox pace waiting wakeup windows
routes                           choices credentials errors leases reload sender settings
                                 settings_upstreams waiting worker
app                              admin.parts alerts claims clocks conflicts control database
                                 dead_letters erasure errors figures intake ledger lock migrate
                                 notices outbox privacy receipts register reload retention routes
                                 sealer seals sender settings settings_upstreams upkeep wakeup
                                 worker
serve                            admin.app app clocks errors logs reload settings tokens
                                 web.deadlines web.private web.public
__main__                         cli

web
web.answers                      choices errors register
web.batches                      choices errors settings web.answers web.bodies web.callers
                                 web.calls web.messages web.parts
web.bodies                       errors
web.callers                      choices errors settings settings_upstreams tokens web.terms
web.calls                        errors settings strictjson web.bodies web.callers web.parts
                                 web.terms
web.cards
web.choices                      choices errors web.answers web.bodies web.callers web.calls
                                 web.forms web.messages web.parts
web.cors                         web.terms
web.deadlines                    errors
web.details                      errors settings settings_upstreams upstreams web.cards web.fields
web.fields                       choices errors upstreams web.cards
web.forms                        errors
web.guard                        errors web.cors web.deadlines web.ops web.problems web.terms
web.limits                       choices errors web.terms
web.messages                     choices errors settings tokens web.callers web.details web.fields
web.offers                       errors settings upstreams web.answers web.callers web.details
                                 web.forms web.parts
web.ops                          errors web.answers
web.parts                        intake receipts web.deadlines web.limits web.terms
web.private                      errors reload web.ops web.problems web.terms
web.problems                     errors web.answers
web.public                       assets intake receipts reload web.batches web.choices
                                 web.deadlines web.guard web.limits web.offers web.ops web.parts
                                 web.scripts web.sessions web.terms
web.scripts                      errors receipts
web.sessions                     claims errors settings settings_upstreams tokens uses web.answers
                                 web.bodies web.callers web.calls web.details web.fields web.parts
web.terms                        errors reload settings tokens

admin
admin.app                        admin.parts assets
admin.parts                      conflicts database dead_letters erasure receipts reload

cli                              cli.audit cli.backup cli.check cli.conflicts cli.deliveries
                                 cli.demo cli.erase cli.export cli.init cli.keys cli.migrate
                                 cli.purge cli.receipt cli.reconcile cli.report cli.sandbox
                                 cli.serve cli.snippet cli.token cli.work errors
cli.audit                        audit cli.files cli.options cli.reading clocks errors ledger
                                 receipts seals settings
cli.backup                       backup cli.options clocks database errors ledger lock receipts
                                 settings
cli.check                        app assets cli.options clocks database errors page_check reload
                                 settings tokens visits
cli.conflicts                    cli.options cli.writing clocks conflicts database errors reload
cli.deliveries                   cli.options cli.writing clocks database deliveries reload
cli.demo                         demo.run
cli.erase                        cli.options clocks control database erasure errors ledger lock
                                 migrate receipts settings
cli.export                       cli.options cli.reading cli.report clocks errors export funnel
                                 ledger receipts settings
cli.files                        cli.options durable
cli.init                         cli.files cli.keys cli.options secret settings_fields
                                 settings_tables tokens
cli.keys                         claims cli.files cli.options settings tokens
cli.migrate                      cli.options clocks database lock migrate
cli.options                      errors reload settings settings_sources
cli.purge                        app cli.options cli.writing clocks database errors reload retention
cli.reading                      clocks database errors settings
cli.receipt                      cli.export receipts
cli.reconcile                    app choices cli.options cli.reading cli.report cli.writing clocks
                                 control database errors export ledger missing orders receipts
                                 reconcile reload settings settings_tables
cli.report                       assets cli.options cli.reading export funnel
cli.sandbox                      errors sandbox.options sandbox.serve
cli.serve                        cli.options errors logs serve settings
cli.snippet                      assets cli.options
cli.token                        cli.options errors inspection settings settings_fields tokens
cli.work                         app cli.options logs
cli.writing                      app clocks control database reload

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
demo.run                         demo.children demo.config demo.proofs demo.shop demo.witnesses
                                 errors tokens
demo.shop                        assets choices demo.orders demo.programme demo.story
                                 demo.witnesses
demo.story                       demo.orders demo.witnesses
demo.witnesses

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
click              cli demo
cryptography       export ledger privacy receipts
flask              admin demo sandbox serve web
flask_cors         web.cors
gunicorn           logs serve
itsdangerous       tokens
jinja2             cli.report
limits             web.limits
markupsafe         cli.report
os.environ         cli demo.children
os.getenv
prometheus_client  serve web
psycopg
pydantic           secret settings settings_fields settings_refusals settings_sources
                   settings_tables settings_upstreams
pydantic_core      secret settings_refusals settings_tables
pydantic_settings  settings settings_sources
requests           demo exchange visits wire
sqlalchemy         alerts audit backup conflicts database dead_letters deliveries engines erasure
                   export figures funnel intake leases ledger migrate migrations notices outbox
                   pace prepared reconcile removals retention schema sealer seals store uses
                   waiting
sqlite3            backup cli.backup cli.check engines erasure reconcile
urllib3            exchange visits wire
waitress           demo sandbox serve
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
