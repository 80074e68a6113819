"""How this process stands: whether it can work, what should be looked at, and its figures."""

import time
from pathlib import Path

from proxy import __version__, migrate
from proxy.attempts import CredentialNames
from proxy.database import Database
from proxy.errors import ConfigurationError, StorageUnavailable
from proxy.figures import is_nearly_full, measure, paused, ping
from proxy.readings import Readings
from proxy.reload import Configuration
from proxy.worker import Worker

_STANDSTILL_S = 150.0  # a round of claims waits for the database a minute at most, and twice
_UNSEALED_S = 600.0  # the sealer comes by every minute


class Condition:
    """Asked by orchestrators and monitors; *delivery* only where something is delivered."""

    def __init__(
        self,
        configuration: Configuration,
        database: Database,
        delivery: tuple[Worker, CredentialNames] | None,
    ) -> None:
        self._configuration = configuration
        self._database = database
        self._worker = delivery[0] if delivery else None
        self._names = delivery[1] if delivery else None
        self._readings = Readings(self._read)

    def ready(self) -> list[str]:
        """Return why this process should get no traffic; nothing if it should."""
        try:
            ping(self._database)
            migrate.require_current(self._database)  # somebody may have migrated it under us
        except StorageUnavailable:
            if self._database.is_damaged:
                return ["storage: the database is damaged; run `optout-proxy check`"]
            return ["storage: the database can not be written"]
        except ConfigurationError as error:
            return [f"schema: {error}"]
        if self._standstill() > _STANDSTILL_S:
            return ["delivery: the worker stands still"]
        return []

    def warnings(self) -> list[str]:
        """Return what somebody should look at while this process goes on working."""
        alarm = self._configuration.alarm
        found = [f"settings: {alarm}"] if alarm else []
        file = self._database.url.database or ""
        if self._database.is_sqlite and is_nearly_full(Path(file)):
            found.append("storage: the disk under the database is nearly full")
        figures = self._readings.at_hand() or {}  # an orchestrator does not wait for a count
        if figures.get("credentials_paused"):
            found.append("delivery: an upstream refuses a credential, and its reports wait")
        if figures.get("oldest_unsealed_seconds", 0.0) > _UNSEALED_S:
            found.append("seals: facts have waited for their seal for more than ten minutes")
        return found

    def measure(self) -> dict[str, float]:
        """Return the figures of the register. Raises StorageUnavailable."""
        return self._readings()

    def state(self) -> dict[str, float]:
        """Return what this process says of itself, without asking the register."""
        said = {
            f"build_info.{__version__}": 1.0,
            "settings_alarm": float(self._configuration.alarm is not None),
        }
        if not self._names:
            return said
        permitted = {f"permits_per_second.{name}": rate for name, rate in self._names.rates()}
        return said | {"worker_standstill_seconds": self._standstill()} | permitted

    def _standstill(self) -> float:
        return time.monotonic() - self._worker.claimed_at if self._worker else 0.0

    def _read(self) -> dict[str, float]:
        """Read the figures; of credentials only where their keys may be opened."""
        figures = measure(self._database)
        if self._names:
            stopped = paused(self._database)
            for bucket, name in self._names.by_bucket().items():
                figures[f"credential_paused.{name}"] = float(bucket in stopped)
        return figures
