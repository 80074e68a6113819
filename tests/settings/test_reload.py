"""Settings are swapped whole, by themselves, and never for wrong ones."""

import threading
from collections.abc import Callable, Iterator

import pytest
from structlog.testing import capture_logs

from proxy.errors import ConfigurationError, Problem
from proxy.reload import Configuration
from proxy.settings import Settings
from proxy.tokens import Keyring, new_secret
from tests.settings.home import BASE, Home

NOW = 1_767_225_600
Start = Callable[[], Configuration]


@pytest.fixture
def start(home: Home) -> Iterator[Start]:
    """Make a configuration of the home; its watch ends with the test."""
    made: list[Configuration] = []

    def begin() -> Configuration:
        made.append(Configuration(home.load_again(), home.config, {}))
        return made[-1]

    yield begin
    for configuration in made:
        configuration.stop()


def rotate(home: Home, *kids: str) -> None:
    """Write a configuration with these keys."""
    lines = ", ".join(f'{{ kid = "{kid}", secret_file = "secrets/{kid}" }}' for kid in kids)
    home.write(BASE.replace('{ kid = "acme-2026a", secret_file = "secrets/acme-2026a" }', lines))


def mint(settings: Settings) -> str:
    """Return a token of the newest key."""
    return Keyring.from_settings(settings).mint(
        "ACME", offer="o", origin="https://shop.example", now=NOW
    )


def test_new_settings_are_another_object(home: Home, start: Start) -> None:
    """Whoever keeps something made of them sees by identity that it is stale."""
    configuration = start()
    before = configuration.current
    home.write(BASE.replace("optout-proxy:test", "optout-proxy:new"))

    assert configuration.reload()
    assert configuration.current is not before
    assert (before.audience, configuration.current.audience) == (
        "optout-proxy:test",
        "optout-proxy:new",
    )


def test_wrong_settings_leave_the_old_in_force(home: Home, start: Start) -> None:
    """There is an alarm and a log line; the old object stays."""
    configuration = start()
    before = configuration.current
    home.write("audience =")

    with capture_logs() as logs:
        assert not configuration.reload()

    assert configuration.current is before
    assert "is not TOML" in (configuration.alarm or "")
    assert [(line["event"], line["reason"]) for line in logs] == [
        ("settings.refused", configuration.alarm)
    ]


def test_the_alarm_ends_with_good_settings(home: Home, start: Start) -> None:
    """A mended file clears it."""
    configuration = start()
    home.write("audience =")
    configuration.reload()
    home.write()

    assert configuration.reload()
    assert configuration.alarm is None


def test_a_retired_key_is_dead(home: Home, start: Start) -> None:
    """What the new settings do not name does not verify."""
    configuration = start()
    token = mint(configuration.current)
    home.secret("acme-2026b", new_secret())
    rotate(home, "acme-2026b")

    assert configuration.look()
    with pytest.raises(Problem, match="token_unknown_key"):
        Keyring.from_settings(configuration.current).verify(token, NOW)


def test_two_keys_live_while_one_is_rotated(home: Home, start: Start) -> None:
    """The old one verifies, the new one signs."""
    configuration = start()
    token = mint(configuration.current)
    home.secret("acme-2026b", new_secret())
    rotate(home, "acme-2026a", "acme-2026b")
    configuration.look()

    keyring = Keyring.from_settings(configuration.current)
    assert keyring.verify(token, NOW).kid == "acme-2026a"
    assert keyring.verify(mint(configuration.current), NOW).kid == "acme-2026b"


def test_an_unchanged_file_is_not_read(start: Start) -> None:
    """A look costs a few stats."""
    configuration = start()
    before = configuration.current

    assert not configuration.look()
    assert configuration.current is before


def test_a_changed_secret_file_is_a_change(home: Home, start: Start) -> None:
    """Kubernetes replaces secrets without touching the configuration."""
    configuration = start()
    token = mint(configuration.current)
    home.secret("acme-2026a", new_secret())

    assert configuration.look()
    with pytest.raises(Problem, match="token_bad_signature"):
        Keyring.from_settings(configuration.current).verify(token, NOW)


def test_a_check_guards_what_comes_into_force(home: Home, start: Start) -> None:
    """A process that verifies tokens accepts no settings with an unfit signing secret."""
    configuration = start()
    configuration.require(Keyring.from_settings)
    before = configuration.current
    home.secret("acme-2026b", "ots_live_short")
    rotate(home, "acme-2026a", "acme-2026b")

    assert not configuration.look()
    assert configuration.current is before
    assert "acme-2026b" in (configuration.alarm or "")


def test_a_check_judges_the_present_settings(home: Home, start: Start) -> None:
    """A start with an unfit secret is refused."""
    home.secret("acme-2026a", "ots_live_short")

    with pytest.raises(ConfigurationError, match="too short"):
        start().require(Keyring.from_settings)


def test_a_mended_file_that_is_not_in_force_is_seen(home: Home, start: Start) -> None:
    """What made the new settings wrong may lie in a file that the old ones do not name."""
    configuration = start()
    configuration.require(Keyring.from_settings)
    secret = home.secret("acme-2026b", new_secret(), 0o644)
    rotate(home, "acme-2026b")
    configuration.look()
    secret.chmod(0o600)

    assert configuration.look()
    assert [key.kid for key in configuration.current.partners["ACME"].signing_keys] == [
        "acme-2026b"
    ]


def test_one_fault_is_logged_once(home: Home, start: Start) -> None:
    """Trying again every two seconds must not fill the log."""
    configuration = start()
    home.write("audience =")

    with capture_logs() as logs:
        configuration.look()
        configuration.look()

    assert len(logs) == 1


def test_a_secret_file_that_goes_is_a_change(home: Home, start: Start) -> None:
    """A process that needs it keeps the old settings, any other takes the new ones."""
    configuration = start()
    (home.folder / "secrets" / "key").unlink()

    assert configuration.look()
    assert not configuration.look()


def test_what_needs_a_restart_is_told(home: Home, start: Start) -> None:
    """Some settings are read once; the log says so when they change."""
    configuration = start()
    home.write(f"threads = 3\n{BASE}")

    with capture_logs() as logs:
        configuration.reload()

    assert logs[0]["need_restart"] == ["threads"]


def test_the_watch_sees_a_change(home: Home, start: Start) -> None:
    """Nobody has to send a signal."""
    configuration = start()
    changed = threading.Event()
    configuration.require(lambda settings: changed.set() if settings.threads == 3 else None)
    configuration.watch(every=0.01)
    home.write(f"threads = 3\n{BASE}")

    assert changed.wait(timeout=30)


def test_the_watch_outlives_a_surprise(home: Home, start: Start) -> None:
    """A fault of ours must not keep a retired key alive for ever."""
    configuration = start()
    seen: list[int] = []
    again = threading.Event()

    def stumble(settings: Settings) -> None:
        seen.append(settings.threads)
        if len(seen) == 2:
            raise RuntimeError("a fault of ours")
        if len(seen) > 2:
            again.set()

    configuration.require(stumble)
    configuration.watch(every=0.01)
    home.write(f"threads = 3\n{BASE}")

    assert again.wait(timeout=30)


def test_watching_twice_is_watching_once(start: Start) -> None:
    """A second call finds the first one's thread."""
    configuration = start()
    before = threading.active_count()
    configuration.watch()
    configuration.watch()

    assert threading.active_count() == before + 1


def test_settings_without_a_file(home: Home) -> None:
    """An environment does not change; its secret files may."""
    environ = {
        "OPTOUT_AUDIENCE": "optout-proxy:test",
        "OPTOUT_PUBLIC_URL": "https://proxy.shop.example",
    }
    configuration = Configuration(home.load(environ=environ), None, environ)

    assert configuration.reload()
    assert configuration.current.partners == {}
