"""Commands that only read: one moment of the register, beside whoever writes."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from proxy.clocks import wall
from proxy.database import Database
from proxy.errors import ConfigurationError, StorageUnavailable
from proxy.settings import Settings


@contextmanager
def reading(settings: Settings) -> Iterator[Any]:
    """Yield a connection that sees one moment. ConfigurationError where there is none to see."""
    database = Database(settings.database, wall)
    try:
        with database.snapshot() as connection:
            yield connection
    except StorageUnavailable as error:
        raise ConfigurationError(
            f"The database can not be read ({error.__cause__}); "
            "`optout-proxy check` names the damage, `optout-proxy migrate` mends an old schema."
        ) from error
    finally:
        database.dispose()
