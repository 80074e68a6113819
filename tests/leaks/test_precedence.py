"""Where a secret is given twice: which one counts, and when the start is refused."""

import os
from pathlib import Path

import pytest

from proxy.errors import ConfigurationError
from proxy.settings import Settings, load
from tests.leaks.guarded import Guarded
from tests.leaks.vault import filled

VARIABLE = "OPTOUT_PARTNERS__ACME__UPSTREAMS__CALM__HMAC__API_SECRET"


@pytest.fixture
def guarded(tmp_path: Path) -> Guarded:
    """A deployment of which nothing runs."""
    guarded = Guarded(tmp_path, filled())
    guarded.end()
    return guarded


def secret_in(settings: Settings) -> str:
    """Return the secret that would sign."""
    hmac = settings.partners["ACME"].upstreams["calm"].hmac
    assert hmac
    return hmac.api_secret.read()


def test_the_environment_overrides_the_settings_file(guarded: Guarded) -> None:
    """A value there replaces the file that the settings name, as it does for every setting."""
    other = guarded.vault["next api secret"]
    guarded.put("other", other)

    assert secret_in(load(guarded.config, {})) == guarded.vault["api secret"]
    assert secret_in(load(guarded.config, {VARIABLE: other})) == other
    assert secret_in(load(guarded.config, {f"{VARIABLE}_FILE": "secrets/other"})) == other


def test_a_value_and_a_file_in_one_place_are_refused(guarded: Guarded) -> None:
    """Neither wins: whoever gave both must say which one is meant, and neither is shown."""
    both = {VARIABLE: guarded.vault["next api secret"], f"{VARIABLE}_FILE": "secrets/api-secret"}
    with pytest.raises(ConfigurationError, match="give `api_secret` or `api_secret_file`") as one:
        load(guarded.config, both)

    text = guarded.config.read_text()
    given = f'api_secret = "{guarded.vault["next api secret"]}", api_secret_file ='
    guarded.config.write_text(text.replace("api_secret_file =", given))
    with pytest.raises(ConfigurationError, match="give `api_secret` or `api_secret_file`") as two:
        load(guarded.config, {})

    said = f"{one.value} {two.value}".encode()
    assert guarded.vault.hits({"refusals": said}) == set()


def test_a_secret_by_file_is_in_no_environment(guarded: Guarded) -> None:
    """Reading one does not put it where children would inherit it."""
    before = dict(os.environ)

    for _, secret in load(guarded.config, {}).secrets():
        secret.read()

    assert dict(os.environ) == before
