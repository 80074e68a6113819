"""Every case of tests/vectors/bad_inputs.json as it is for this API: one table, each id once.

Case by case it names the requests and what they are answered with, or why there is no such thing.
Where the answer is another than the file's, it is the one that docs/reference/errors.md promises.
"""

from collections.abc import Mapping

from tests.attacks import (
    mapping_bodies,
    mapping_dashboard,
    mapping_outside,
    mapping_register,
    mapping_tokens,
    mapping_upstream,
    mapping_wire,
)
from tests.attacks.cases import Case

_TABLES: tuple[Mapping[str, Case], ...] = (
    mapping_tokens.CASES,
    mapping_bodies.CASES,
    mapping_wire.CASES,
    mapping_register.CASES,
    mapping_outside.CASES,
    mapping_dashboard.CASES,
    mapping_upstream.CASES,
)

MAPPED: list[tuple[str, Case]] = [entry for table in _TABLES for entry in table.items()]
