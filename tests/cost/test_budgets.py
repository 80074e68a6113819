"""A choice and a delivery cost what the table says. Counts, not seconds: they bear a busy machine.

What is counted and by what, is told by the modules beside this one.
"""

import re

import pytest

from tests.cost.budgets import BUDGETS, broken
from tests.cost.conftest import Counted

GROUPS = ("SQLite", "PostgreSQL", "calls", "serving", "writes", "served")


@pytest.mark.parametrize("group", GROUPS)
def test_nothing_costs_more_than_its_budget(counted: Counted, group: str) -> None:
    """Nor so little that it can not be right: a commit without an fsync is no commit."""
    assert broken(counted(group)) == []


@pytest.mark.parametrize("engine", ["SQLite", "PostgreSQL"])
def test_as_many_statements_for_many_choices_as_for_one(counted: Counted, engine: str) -> None:
    """Whatever meets in a commit shares its statements."""
    counts = counted(engine)
    alike = re.compile(r".*statements for (\d+ choices? at once|1 choice)$")

    found = {name: value for name, value in counts.items() if alike.match(name)}

    assert len(found) == 4
    assert len(set(found.values())) == 1, found


def test_every_budget_is_of_something_that_is_counted(counted: Counted) -> None:
    """A row that nothing is measured against guards nothing."""
    names = {name for group in GROUPS for name in counted(group)}

    assert BUDGETS.keys() - names == set()


def test_a_broken_budget_says_by_what_and_where_to_look() -> None:
    """Too much, too little, and what nobody has thought of."""
    counts = {
        "SQLite: commits for 64 choices at once": 64,
        "tokens verified per page request": 0,
        "SQLite: statements for 1 choice": BUDGETS["SQLite: statements for 1 choice"].most,
        "fsyncs of nobody": 1,
    }

    where = "docs/performance.md tells what each is for"
    assert broken(counts) == [
        f"fsyncs of nobody: has no budget; {where}",
        f"SQLite: commits for 64 choices at once: 64 of at most 1; {where}",
        f"tokens verified per page request: 0 of at least 1; {where}",
    ]
