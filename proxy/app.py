"""The only place where the parts meet: settings in, a running service out."""

from datetime import timedelta
from functools import cached_property, partial
from pathlib import Path

import structlog

from proxy import migrate
from proxy.accounts import Accounts
from proxy.admin.parts import Parts
from proxy.alerts import Alerts
from proxy.alerts import judge as judge_alerts
from proxy.attempts import CredentialNames, watched
from proxy.choices import Delivery, Outcome
from proxy.claims import LONGEST_TTL
from proxy.clocks import Steady, wall
from proxy.condition import Condition
from proxy.conflicts import Conflicts
from proxy.control import Control, socket_path
from proxy.cores import Core
from proxy.counters import Counters
from proxy.database import Database
from proxy.dead_letters import DeadLetters
from proxy.erasure import Erasures
from proxy.errors import ConfigurationError
from proxy.figures import due_since, holds_facts
from proxy.ledger import Ledger
from proxy.lock import FileLock
from proxy.notices import Notices
from proxy.outbox import Outbox
from proxy.privacy import CustomerKeys
from proxy.receipts import Signer, load_audit_key, load_signing_key
from proxy.register import Policy
from proxy.reload import Configuration
from proxy.retention import Retention
from proxy.routes import Routes
from proxy.sealer import Sealer
from proxy.seals import Seals
from proxy.sender import Sender
from proxy.settings import DEADLINE, Settings
from proxy.settings_upstreams import UpstreamSetting
from proxy.telemetry import Telemetry, WatchedIntake, is_traced
from proxy.upkeep import Upkeep
from proxy.wakeup import Wakeup
from proxy.worker import Limits, Worker

log = structlog.get_logger()


def policy_of(upstream: UpstreamSetting) -> Policy:
    """Return when *upstream* wants to hear of a decline."""
    implied = upstream.unanswered == "declined"
    return Policy(
        on_purchase=upstream.report_on == "purchase",
        settle_ms=_ms(upstream.settle.total_seconds()),
        hold_ms=_ms(upstream.hold.total_seconds()),
        implied_ms=_ms(upstream.unanswered_after.total_seconds()) if implied else None,
    )


# For rows of an upstream that the settings no longer name: they wait until it is back.
_TAKEN_OUT = Policy(on_purchase=False, settle_ms=5_000, hold_ms=86_400_000, implied_ms=None)


class Service:
    """The parts of one process; started after the fork, stopped before the end."""

    def __init__(
        self,
        configuration: Configuration,
        *,
        with_worker: bool = True,
        counters: Counters | None = None,
        core: Core | None = None,
    ) -> None:
        settings = configuration.current
        self.configuration = configuration
        self.telemetry = Telemetry(counters)
        self.core = core or Core()
        self.database = Database(settings.database, Steady(), stay=self.core.stay)
        self._require_audit_key(settings)
        self.audit_key, _ = load_audit_key(settings.audit_key_file)
        signing_key, _ = load_signing_key(settings.signing_key_file)
        ledger = Ledger(self.audit_key)
        self.signer = Signer(signing_key, settings.audience)
        self.wakeup = Wakeup()
        customers = _customer_keys(configuration)
        self.notices = None if self._embedded else Notices(self.database.url, self.wakeup.ring)
        self.intake = WatchedIntake(
            self.telemetry, self.database, ledger, self._policy, self._wake, customers
        )
        self.outbox = Outbox(self.database, ledger, customers=customers)
        self.dead_letters = DeadLetters(self.database, ledger)
        self.conflicts = Conflicts(self.database, ledger)
        self.erasures = Erasures(self.database, ledger)
        self._delivery = self._make_worker(settings) if with_worker else None
        sign = (self.signer.kid, signing_key.sign)
        self.sealer = Sealer(self.database, Seals(*sign)) if with_worker else None
        self.alerts = _alerts(configuration, self.database) if with_worker else None
        self.retention = Retention(self.database, *sign, partial(retentions_of, configuration))
        self.upkeep = self._make_upkeep(customers) if with_worker else None
        self.control = self._make_control()

    @property
    def worker(self) -> Worker | None:
        """Who delivers, if this process does."""
        return self._delivery[0] if self._delivery else None

    @cached_property
    def lock(self) -> FileLock | None:
        """What one process takes that has the database inside."""
        return FileLock(Path(self.database.url.database or "")) if self._embedded else None

    @cached_property
    def condition(self) -> Condition:
        """How this process stands."""
        return Condition(self.configuration, self.database, self._delivery)

    @property
    def accounts(self) -> Accounts:
        """Who may use the dashboard."""
        return Accounts(self.database)

    @property
    def _embedded(self) -> bool:
        return self.database.is_sqlite

    def _require_audit_key(self, settings: Settings) -> None:
        """A key made anew would make everything that is on record look forged."""
        if settings.audit_key_file.exists() or not holds_facts(self.database):
            return
        raise ConfigurationError(
            f"{settings.audit_key_file} is gone, and facts are on record under it; restore it."
        )

    def start(self) -> None:
        """Take the lock, migrate an embedded database, and begin to write and deliver.

        A PostgreSQL that is away is waited for while the web answers 503: `rehearse` has seen it.
        """
        self.telemetry.start(self.audit_key)
        if self.lock:
            self.lock.take()
            migrate.upgrade(self.database)
        self.database.start()
        if self.lock:
            self.outbox.take_back()  # whoever sent them held this lock, and is gone
        if self.control:
            self.control.start()
        if self.notices:
            self.notices.start(listen=self.worker is not None)
        for part in (self.worker, self.sealer, self.alerts, self.upkeep):
            if part:
                part.start()

    def stop(self) -> None:
        """Finish what is in flight, hand the rest back, close. Idempotent."""
        parts = (self.control, self.upkeep, self.alerts, self.worker, self.sealer, self.notices)
        for part in parts:
            if part:
                part.stop()
        self.database.stop()
        self.telemetry.stop()
        if self.lock:
            self.lock.release()

    def rehearse(self) -> None:
        """Check in this process what `start` will need in another. ConfigurationError if not."""
        is_traced()
        if self.lock:
            self.lock.take()
        try:
            if self._embedded:
                migrate.upgrade(self.database)
            self.database.check()
            migrate.require_current(self.database)
        finally:
            self.database.dispose()
            if self.lock:
                self.lock.release()

    def ready(self) -> list[str]:
        """Return why this process should get no traffic; nothing if it should."""
        return self.condition.ready()

    def measure(self) -> dict[str, float]:
        """Return the figures of the register, as they were read last."""
        return self.condition.measure()

    def _wake(self, after_ms: int) -> None:
        """Ring for the worker in this process, and for those elsewhere."""
        self.wakeup.ring(after_ms)
        if self.notices:
            self.notices.tell(after_ms)

    def _policy(self, partner: str, upstream: str) -> Policy:
        setting = self.configuration.current.partners.get(partner)
        found = setting.upstreams.get(upstream) if setting else None
        return policy_of(found) if found else _TAKEN_OUT

    def _make_control(self) -> Control | None:
        if not self._embedded:
            return None  # on PostgreSQL commands write directly
        path = socket_path(Path(self.database.url.database or ""))
        return Control(
            path,
            dead_letters=self.dead_letters,
            conflicts=self.conflicts,
            intake=self.intake,
            accounts=self.accounts,
            erasures=self.erasures,
            retention=self.retention,
        )

    def _make_upkeep(self, customers: CustomerKeys | None) -> Upkeep:
        return Upkeep(
            self.database,
            retention=self.retention,
            customers=customers,
            erasures=self.erasures,
            patience=self._patience,
        )

    def _patience(self, partner: str, upstream: str) -> int:
        """Return for how many ms after its last change an offer may yet have to be reported."""
        setting = self.configuration.current.partners.get(partner)
        late = setting.late if setting else timedelta(days=1)
        return (
            LONGEST_TTL * 1000 + _ms(late.total_seconds()) + self._policy(partner, upstream).hold_ms
        )

    def _make_worker(self, settings: Settings) -> tuple[Worker, CredentialNames]:
        sender = Sender(audience=settings.audience, deadline=DEADLINE.total_seconds())
        routes = Routes(self.configuration, sender)
        names = CredentialNames(routes.routing)
        limits = Limits(
            senders=settings.senders,
            lease_ms=_ms(settings.lease.total_seconds()),
            deadline_ms=_ms(DEADLINE.total_seconds()),
        )
        watched_send = watched(
            routes.send,
            self.telemetry,
            names,
            lambda one: due_since(self.database, one.row, one.epoch),
        )

        def send(delivery: Delivery) -> Outcome:
            self.core.enter()
            return watched_send(delivery)

        return Worker(self.outbox, self.wakeup, routes.routing, send, limits), names


def parts_of(service: Service) -> Parts:
    """Return what the dashboard needs of *service*."""
    return Parts(
        configuration=service.configuration,
        database=service.database,
        audit_key=service.audit_key,
        signer=service.signer,
        dead_letters=service.dead_letters,
        conflicts=service.conflicts,
        erasures=service.erasures,
    )


def retentions_of(configuration: Configuration) -> dict[str, int]:
    """Return by partner how many milliseconds its records are kept."""
    partners = configuration.current.partners.items()
    return {name: _ms(partner.retention.total_seconds()) for name, partner in partners}


def _alerts(configuration: Configuration, database: Database) -> Alerts:
    configuration.require(judge_alerts)
    return Alerts(database, lambda: configuration.current)


def _customer_keys(configuration: Configuration) -> CustomerKeys | None:
    configuration.require(_judge_customers)
    folder = configuration.current.customer_keys
    if folder is None:
        return None
    keys = CustomerKeys(folder)
    keys.destroy_old(wall())
    return keys


def _judge_customers(settings: Settings) -> None:
    allowed = any(partner.customer for partner in settings.partners.values())
    if allowed and settings.customer_keys is None:
        raise ConfigurationError(
            "A partner has `customer = true`; set `customer_keys` to a folder outside the backups."
        )


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
