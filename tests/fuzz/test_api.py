"""openapi.yaml and the running service say the same, and nothing that is sent breaks it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fuzz.api import fuzz
from tests.fuzz.deployment import Fuzzed


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Fuzzed]:
    """A service of its own."""
    proxy = Fuzzed(tmp_path)
    try:
        proxy.start_proxy()
        yield proxy
    finally:
        proxy.end()


def test_the_document_and_the_service_agree(proxy: Fuzzed) -> None:
    """Every check of the schema fuzzer, the same requests on every run; `make fuzz` makes more."""
    status, said, seen = fuzz(proxy, "--max-examples", "5", "--generation-deterministic")

    assert status == 0, said
    assert sum(seen.values()) > 500
    # It came through to what it is about: each call was made well, and made badly.
    good = {"POST /v1/choices 202", "POST /v1/choices/batch 200", "POST /v1/sessions 201"}
    assert good | {"GET /v1/offers/{offer} 200", "POST /v1/choices 400 invalid_request"} <= set(
        seen
    )
    proxy.examine()
