"""The sealer: closes what has been written into blocks, beside the path that accepts choices."""

import threading
import time

import structlog
from sqlalchemy import Connection, text

from proxy import seals
from proxy.database import Database
from proxy.errors import StorageUnavailable

log = structlog.get_logger()

SPAN_S = 60.0  # between two rounds, of all sealers together
PATIENCE_S = 2.0  # for transactions that are about to add facts
GRACE_S = 0.5  # for the last round when asked to stop
_LOOK_S = 0.02
_BREATH_S = 0.05  # between two blocks of a round: choices go first

# A reader may be connected to a standby, which does not know who writes on the primary.
_HIGHEST = "SELECT coalesce(max(id), 0) FROM facts"
_HIGHEST_OF_PRIMARY = f"{_HIGHEST} WHERE NOT pg_is_in_recovery()"

# Whoever inserts takes this lock before the row gets its id, and gives it back after the commit
# can be seen. Unlike xmin it knows of transactions without an id of their own, and only of ours.
_WRITING = text(
    "SELECT virtualtransaction FROM pg_locks WHERE locktype = 'relation' AND granted "
    "AND mode = 'RowExclusiveLock' AND relation = 'facts'::regclass "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


class Sealer:
    """One loop that wakes once a minute; any number of processes may have one."""

    def __init__(
        self,
        database: Database,
        seals_: seals.Seals,
        *,
        span_s: float = SPAN_S,
        patience_s: float = PATIENCE_S,
        most: int = seals.MOST,
    ) -> None:
        self._database = database
        self._seals = seals_
        self._span_s = span_s
        self._patience_s = patience_s
        self._most = most
        self._stopping = threading.Event()
        self._stop_by = float("inf")
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to seal; what a predecessor left is sealed with the first round."""
        self._thread = threading.Thread(target=self._loop, name="sealer", daemon=True)
        self._thread.start()

    def stop(self, grace_s: float = GRACE_S) -> None:
        """Seal what is there, as far as *grace_s* allows: the rest is sealed by a successor."""
        self._stop_by = time.monotonic() + grace_s
        self._stopping.set()
        if self._thread:
            self._thread.join(grace_s)

    def seal(self) -> int:
        """Seal every fact that nothing can precede any more; return how many.

        Raises StorageUnavailable; what was closed until then stays closed.
        """
        sealed = 0
        while time.monotonic() < self._stop_by:
            plan = self._plan()
            if not plan.blocks or not self._database.write(seals.close, plan):
                break
            sealed += plan.count
            if plan.count < self._most:
                break
            self._stopping.wait(_BREATH_S)
        return sealed

    def _loop(self) -> None:
        stopping = False
        while not stopping:
            stopping = self._stopping.wait(self._span_s)
            try:
                if stopping or self._is_time():
                    self._tell(self.seal())
            except StorageUnavailable:
                log.warning("seal.failed")
            except Exception:
                log.exception("seal.crashed")  # the loop must outlive whatever one round meets

    def _is_time(self) -> bool:
        """True unless another sealer has been here within the span."""
        with self._database.read() as connection:
            latest = seals.latest(connection)
            now = self._database.now(connection)
        return latest is None or not 0 <= now - latest.sealed_at < self._span_s * 1000

    def _plan(self) -> seals.Plan:
        with self._database.read() as connection:
            until = self._horizon(connection)
            now = self._database.now(connection)
            return self._seals.plan(connection, until=until, now=now, most=self._most)

    def _horizon(self, connection: Connection) -> int:
        """Return the id of a fact that no transaction which still runs can precede; 0 if none is.

        SQLite has one writer, so ids are committed in their order. On PostgreSQL a lower id may
        come later: whoever was writing when the highest id was seen is waited for.
        """
        if self._database.is_sqlite:
            return int(connection.execute(text(_HIGHEST)).scalar_one())
        highest = int(connection.execute(text(_HIGHEST_OF_PRIMARY)).scalar_one())
        writing = self._writing(connection)
        end = min(time.monotonic() + self._patience_s, self._stop_by)
        while writing:
            if time.monotonic() >= end:
                log.warning("seal.waits", transactions=len(writing))
                return 0
            time.sleep(_LOOK_S)
            writing &= self._writing(connection)  # who came later has higher ids
        return highest

    def _writing(self, connection: Connection) -> set[str]:
        return set(connection.execute(_WRITING).scalars())

    @staticmethod
    def _tell(sealed: int) -> None:
        if sealed:
            log.info("facts.sealed", facts=sealed)
