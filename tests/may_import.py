"""The architecture: what each module may know. Data only; the rules are in `architecture.py`."""

from tests.architecture import table
from tests.rooms import ROOMS_APART

# The whole of what each module knows of the others. A new import is a new word in this table.
MAY_IMPORT = (
    table("""
assets
choices
clocks
errors
origins
one_time
pages
passwords
policies
schema
signature
strictjson
durable
upstreams
wakeup
wire
process
prepared
waiting
cores
claims                           errors origins strictjson
page_controls                    pages
visits                           exchange origins wire
engines                          errors
tallies
counters                         errors tallies
readings                         errors
seen                             choices
database                         engines errors
actions                          database schema
accounts                         actions database schema
logins                           accounts actions database schema
backup                           choices database durable errors ledger migrate register reporting
                                 schema store
deliveries                       schema
exchange                         upstreams wire
lock                             errors
logs                             errors
pace                             choices prepared schema
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
report                           export funnel
report_page                      assets funnel report
aside                            clocks database
verification                     audit clocks ledger seals
verifier                         aside clocks errors ledger seals verification
counting                         clocks errors
overview                         aside database funnel schema seals
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
statements                       clocks errors export funnel ledger receipts settings
telemetry                        choices clocks counters errors intake seen traces
traces                           choices seen
outbox                           choices database leases ledger pace privacy register reporting
                                 schema store waiting
reload                           errors settings
sender                           choices credentials exchange judge oauth settings_upstreams
                                 upstreams wire
browse                           schema
piles                            browse reporting schema
alerts                           clocks database errors exchange schema settings upstreams
conflicts                        choices database ledger register schema store
control                          accounts conflicts dead_letters erasure errors intake missing
                                 retention
dead_letters                     choices database ledger register reporting store
erasure                          choices database ledger register reporting schema store
figures                          choices database errors leases schema seals
notices                          engines
windows                          choices waiting
missing                          choices errors intake
reconcile                        choices missing removals schema
orders                           choices errors reconcile register secret settings_tables upstreams
                                 web.cards
tokens                           choices claims errors keys settings
inspection                       claims tokens
page_tokens                      errors inspection pages settings tokens visits
page_check                       clocks page_controls page_tokens pages policies settings visits
endings                          choices database errors outbox
worker                           choices endings errors leases outbox pace waiting wakeup windows
routes                           choices credentials errors leases reload sender settings
                                 settings_upstreams waiting worker
attempts                         choices telemetry waiting worker
condition                        attempts database errors figures migrate readings reload worker
listeners                        condition counters errors reload settings web.ops web.private
app                              accounts admin.parts alerts attempts choices claims clocks
                                 condition conflicts control cores counters database dead_letters
                                 erasure errors figures ledger lock migrate notices outbox privacy
                                 receipts register reload retention routes sealer seals sender
                                 settings settings_upstreams telemetry upkeep wakeup worker
serve                            admin.app app clocks cores counters listeners logs reload tallies
                                 tokens web.deadlines web.peers web.public
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
web.deadlines                    errors web.peers
web.details                      errors settings settings_upstreams upstreams web.cards web.fields
web.fields                       choices errors upstreams web.cards
web.forms                        errors
web.guard                        errors web.cors web.deadlines web.ops web.problems web.terms
web.limits                       choices errors web.terms
web.messages                     choices errors settings tokens web.callers web.details web.fields
web.offers                       errors settings upstreams web.answers web.callers web.details
                                 web.forms web.parts
web.ops                          counters errors web.answers
web.parts                        intake receipts web.deadlines web.limits web.terms
web.private                      errors reload web.limits web.ops web.problems web.terms web.watch
web.problems                     errors web.answers
web.public                       assets intake receipts reload telemetry web.batches web.choices
                                 web.deadlines web.guard web.limits web.offers web.ops web.parts
                                 web.scripts web.sessions web.terms web.watch
web.scripts                      errors receipts
web.sessions                     claims errors settings settings_upstreams tokens uses web.answers
                                 web.bodies web.callers web.calls web.details web.fields web.parts
web.terms                        errors reload settings tokens
web.watch                        telemetry web.answers
web.peers

admin
admin.access                     accounts actions admin.callers admin.parts admin.refusals
                                 admin.sessions errors
admin.account                    accounts actions admin.access admin.asked admin.parts
                                 admin.sessions errors passwords schema
admin.app                        admin.access admin.account admin.charts admin.conflicts
                                 admin.counts admin.dead_letters admin.deliveries admin.exports
                                 admin.overview admin.partners admin.parts admin.seals
                                 admin.sign_in admin.single_sign_on admin.verifying admin.words
                                 assets
admin.archive                    admin.parts errors export funnel ledger settings statements
admin.asked                      conflicts errors
admin.attention                  admin.reasons admin.words alerts overview verifier
admin.callers                    admin.parts errors settings web.limits web.terms
admin.charts                     funnel report report_page
admin.conflicts                  admin.access admin.asked admin.callers admin.parts admin.reasons
                                 choices conflicts errors register
admin.counts                     admin.parts aside counting overview
admin.dead_letters               admin.access admin.asked admin.callers admin.parts admin.reasons
                                 errors piles
admin.deliveries                 admin.access admin.asked admin.callers admin.conflicts admin.parts
                                 admin.reasons admin.story browse choices conflicts dead_letters
                                 erasure errors register reporting schema store
admin.door                       accounts admin.callers admin.parts admin.throttle errors logins
                                 one_time passwords
admin.exports                    admin.access admin.archive admin.asked admin.counts admin.overview
                                 admin.parts admin.streams aside errors export funnel ledger report
                                 report_page
admin.identity
admin.overview                   admin.asked admin.attention admin.counts admin.parts admin.reasons
                                 admin.verifying funnel overview settings
admin.partners                   admin.asked admin.charts admin.counts admin.parts admin.reasons
                                 admin.words errors overview secret settings settings_upstreams
admin.parts                      conflicts database dead_letters erasure receipts reload
admin.provider                   errors exchange settings upstreams
admin.reasons
admin.refusals                   admin.callers errors web.answers web.problems
admin.seals                      actions admin.access admin.asked admin.parts admin.verifying
                                 errors export removals schema seals verification
admin.sessions                   accounts admin.callers database errors schema
admin.sign_in                    accounts admin.access admin.callers admin.door admin.parts
                                 admin.refusals admin.sessions errors passwords
admin.single_sign_on             accounts actions admin.access admin.callers admin.identity
                                 admin.parts admin.provider admin.refusals admin.sign_in
                                 admin.throttle errors settings
admin.story                      admin.reasons admin.words choices register
admin.streams                    errors
admin.throttle                   clocks errors logins
admin.verifying                  actions admin.parts aside ledger verifier
admin.words                      clocks

checks
checks.findings                  errors
checks.clocks                    checks.findings tokens
checks.partners                  checks.findings secret settings settings_upstreams upstreams
checks.surroundings              alerts checks.findings errors settings settings_sources
checks.keys                      checks.findings checks.partners claims clocks credentials errors
                                 secret settings tokens
checks.disks                     checks.findings clocks database errors settings
checks.postgres                  checks.clocks checks.findings clocks database errors
checks.records                   alerts checks.findings clocks database errors figures ledger
                                 migrate receipts schema seals settings
checks.running                   checks.findings visits
checks.reaching                  exchange upstreams wire
checks.online                    checks.clocks checks.findings checks.partners checks.reaching
                                 credentials errors exchange oauth receipts settings
                                 settings_upstreams

cli                              cli.audit cli.backup cli.check cli.conflicts cli.deliveries
                                 cli.demo cli.erase cli.export cli.init cli.keys cli.migrate
                                 cli.purge cli.receipt cli.reconcile cli.report cli.sandbox
                                 cli.serve cli.snippet cli.token cli.users cli.work errors
cli.audit                        cli.files cli.options cli.reading errors ledger receipts seals
                                 settings verification
cli.backup                       backup cli.options clocks database errors ledger lock receipts
                                 settings
cli.check                        assets checks.disks checks.findings checks.keys checks.online
                                 checks.partners checks.postgres checks.records checks.running
                                 checks.surroundings cli.options clocks database page_check
                                 settings visits
cli.conflicts                    cli.options cli.writing clocks conflicts database errors reload
cli.deliveries                   cli.options cli.writing clocks database deliveries reload
cli.demo                         demo.run
cli.erase                        cli.options clocks control database erasure errors ledger lock
                                 migrate receipts settings
cli.export                       cli.options cli.reading cli.report export funnel statements
cli.files                        cli.options durable
cli.init                         cli.files cli.keys cli.options secret settings_fields
                                 settings_tables tokens
cli.keys                         claims cli.files cli.options settings tokens
cli.migrate                      cli.options clocks database lock migrate
cli.options                      errors reload settings settings_sources
cli.purge                        app cli.options cli.writing clocks database errors reload
                                 retention
cli.reading                      clocks database errors settings
cli.receipt                      cli.export receipts
cli.reconcile                    app choices cli.options cli.reading cli.report cli.writing clocks
                                 control database errors export ledger missing orders receipts
                                 reconcile reload settings settings_tables
cli.report                       cli.options cli.reading export funnel report report_page
cli.sandbox                      errors sandbox.options sandbox.serve
cli.serve                        cli.options errors logs process serve settings
cli.snippet                      assets cli.options
cli.token                        cli.options errors inspection settings settings_fields tokens
cli.users                        accounts cli.options cli.writing clocks database errors one_time
                                 passwords receipts reload
cli.work                         app cli.options listeners logs process
cli.writing                      app clocks control database reload
""")
    | ROOMS_APART
)
