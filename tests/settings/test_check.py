"""`check` finds what `serve` would refuse."""

import pytest

from proxy.cli import main
from tests.settings.home import Home
from tests.settings.shell import run


@pytest.mark.parametrize("lost", ["acme-2026a", "key", "secret"])
def test_a_lost_secret_is_named(home: Home, lost: str) -> None:
    """A signing secret as well as a credential of the insurer's."""
    home.secret("key", "key-of-a-test")
    assert run(main, "check", "--config", home.config).exit_code == 0
    path = home.folder / "secrets" / lost
    path.unlink()
    checked = run(main, "check", "--config", home.config)

    assert checked.exit_code == 1
    assert f"The secret file {path} does not exist" in checked.stdout
