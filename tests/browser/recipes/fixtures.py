"""What the rows of the recipes lean on."""

from collections.abc import Iterator

import pytest

from tests.browser.recipes.book import Book
from tests.browser.stage import Stage
from tests.browser.stand_in import Shop


@pytest.fixture
def book(stage: Stage) -> Iterator[Book]:
    """The recipes, and another site that frames come from."""
    other = Shop(trapped=stage.shop.trapped)
    yield Book(stage, other)
    other.close()
    assert not other.caught, "the snippet read what it does not need"
