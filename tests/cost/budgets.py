"""The budgets: what a choice and a delivery cost today, and between which limits that may move.

`python -m tests.cost.count` prints the table as it is now; put it here when code has become
cheaper, or dearer for a good reason. More than `most` is slower; less than `least` is not faster,
but a promise broken, or a count that no longer sees what it counts.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass

COUNTED_ON = (3, 11)  # another Python makes other calls for the same work
ELSEWHERE = 0.3  # by which they may differ there
_WHERE = "docs/performance.md tells what each is for"

TABLE = """
what                                                               least   today    most
SQLite: statements for 1 choice                                        1       5       5
SQLite: statements for 4 choices at once                               1       5       5
SQLite: statements for 16 choices at once                              1       5       5
SQLite: statements for 64 choices at once                              1       5       5
SQLite: commits for 64 choices at once                                 1       1       1
SQLite: runs of a statement per choice, 64 at once                     1  2.0469  2.0469
SQLite: statements for 16 choices at once under open tokens            1      37      37
SQLite: statements for 16 changes at once                              1       4       4
SQLite: statements per choice, 16 at once                         0.0781  0.3125  0.3125
SQLite: statements for claiming 1                                      1       5       5
SQLite: statements for finishing 1                                     1       3       3
SQLite: commits for finishing 1                                        1       1       1
SQLite: statements per delivery, 1 at once                             2       8       8
SQLite: statements for claiming 16                                     1       5       5
SQLite: statements for finishing 16                                    1       3       3
SQLite: commits for finishing 16                                       1       1       1
SQLite: statements per delivery, 16 at once                        0.125     0.5     0.5
SQLite: statements that SQLAlchemy has not seen                        0       0       0
PostgreSQL: statements for 1 choice                                    1       5       5
PostgreSQL: statements for 4 choices at once                           1       5       5
PostgreSQL: statements for 16 choices at once                          1       5       5
PostgreSQL: statements for 64 choices at once                          1       5       5
PostgreSQL: commits for 64 choices at once                             1       1       1
PostgreSQL: runs of a statement per choice, 64 at once                 1  2.0469  2.0469
PostgreSQL: statements for 16 choices at once under open tokens        1      37      37
PostgreSQL: statements for 16 changes at once                          1       4       4
PostgreSQL: statements per choice, 16 at once                     0.0781  0.3125  0.3125
PostgreSQL: statements for claiming 1                                  1       5       5
PostgreSQL: statements for finishing 1                                 1       3       3
PostgreSQL: commits for finishing 1                                    1       1       1
PostgreSQL: statements per delivery, 1 at once                         2       8       8
PostgreSQL: statements for claiming 16                                 1       5       5
PostgreSQL: statements for finishing 16                                1       3       3
PostgreSQL: commits for finishing 16                                   1       1       1
PostgreSQL: statements per delivery, 16 at once                    0.125     0.5     0.5
calls per page request                                               434    1737    1824
forms parsed per page request                                          1       1       1
tokens verified per page request                                       1       1       1
choices recorded per page request                                      1       1       1
digests compared per page request                                      1       1       1
receipts signed per page request                                       1       1       1
calls of the writer per choice, 16 at once                            43     171     180
calls of the writer per delivery, 16 at once                          74     297     312
calls of serve per page request                                      568    2270    2384
calls of serve per delivery                                          662    2649    2782
fsyncs for 62 commits of choices                                      62      62      70
fsyncs for 62 claims and 62 finishes                                 124     130     138
fsyncs for 64 choices at once                                          1       1       3
bytes written per choice, 16 at once                                 890    3559    3915
bytes written per delivery, 16 at once                              1846    7382    8121
fsyncs of serve, choices: 1000                                        32     102     306
fsyncs of serve, deliveries: 500                                      16      82     246
wakings of an idle serve in a second                                 0.1      12      29
"""


@dataclass(frozen=True, slots=True)
class Budget:
    """What is allowed of one cost."""

    name: str
    least: float
    today: float
    most: float

    def broken_by(self, count: float) -> str | None:
        """Return the sentence on *count*, if it is not within the limits."""
        count = float(shown(count))  # as the table has it
        if count > self.limit:
            return f"{self.name}: {shown(count)} of at most {shown(self.limit)}; {_WHERE}"
        if count < self.least:
            return f"{self.name}: {shown(count)} of at least {shown(self.least)}; {_WHERE}"
        return None

    @property
    def limit(self) -> float:
        """The most, on the Python that runs this."""
        is_other = self.name.startswith("calls") and sys.version_info[:2] != COUNTED_ON
        return self.most * (1 + ELSEWHERE) if is_other else self.most


def shown(count: float) -> str:
    """Return *count* as the table has it."""
    return f"{count:.4f}".rstrip("0").rstrip(".") if count < 10 else f"{count:.0f}"


def _read(text: str) -> dict[str, Budget]:
    rows = [line.rsplit(maxsplit=3) for line in text.splitlines() if line]
    return {name: Budget(name, *map(float, limits)) for name, *limits in rows[1:]}


BUDGETS = _read(TABLE)


def broken(counts: Mapping[str, float]) -> list[str]:
    """Return a sentence for each of *counts* that is beyond its limits, or has none."""
    unknown = sorted(counts.keys() - BUDGETS.keys())
    found = [BUDGETS[name].broken_by(count) for name, count in counts.items() if name in BUDGETS]
    return [f"{name}: has no budget; {_WHERE}" for name in unknown] + list(filter(None, found))
