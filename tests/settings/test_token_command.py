"""`token`: what one prints the other verifies."""

import json
from contextlib import chdir

import pytest

from proxy.cli.token import command as token
from proxy.tokens import new_secret
from tests.settings.home import BASE, ELEMENTS, OTHER_PARTNER, Home
from tests.settings.shell import run

ORIGIN = "https://shop.example"


def test_mint_and_inspect(home: Home) -> None:
    """What one prints the other verifies, from its argument or from standard input."""
    minted = run(token, "mint", "--config", home.config, "--offer", "abc", "--ttl", "2h").stdout

    result = run(token, "inspect", "--config", home.config, "--json", input=minted)
    said = json.loads(result.stdout)

    assert result.exit_code == 0
    assert (said["verdict"], said["kid"]) == ("ok", "acme-2026a")
    assert (said["claims"]["o"], said["claims"]["ttl"]) == ("abc", 7200)
    assert run(token, "inspect", minted.strip(), "--config", home.config).exit_code == 0


def test_mint_as_json(home: Home) -> None:
    """With the time at which it ends."""
    said = json.loads(run(token, "mint", "--config", home.config, "--offer", "a", "--json").stdout)

    assert sorted(said) == ["expires_at", "token"]
    assert said["expires_at"].endswith("Z")


def test_mint_with_every_option(home: Home) -> None:
    """Nothing has to be guessed."""
    home.write(BASE + ELEMENTS + OTHER_PARTNER)
    options = {
        "--config": home.config,
        "--partner": "ACME",
        "--offer": "abc",
        "--origin": ORIGIN,
        "--ttl": 60,
        "--upstream": "elements",
        "--kid": "acme-2026a",
    }
    minted = run(token, "mint", *[word for pair in options.items() for word in pair]).stdout

    said = json.loads(run(token, "inspect", minted, "--config", home.config, "--json").stdout)

    assert said["claims"].items() >= {"p": "ACME", "o": "abc", "r": "elements", "ttl": 60}.items()


MINT_REFUSALS = {
    "no partner": ((), "Name a partner of the configuration with --partner: ACME, OTHER."),
    "no origin": (
        ("--partner", "ACME", "--origin", "https://other.example"),
        "Name an origin of ACME with --origin: https://shop.example.",
    ),
    "no kid": (
        ("--partner", "ACME", "--kid", "x"),
        "ACME has no key `x`; its keys are: acme-2026a.",
    ),
    "no offer": (
        ("--partner", "ACME"),
        (
            "With these options no such token can be: claim `o` is missing, and this partner's"
            " pages may not name the offer."
        ),
    ),
    "a short ttl": (
        ("--partner", "ACME", "--offer", "a", "--ttl", "5s"),
        "With these options no such token can be: claim `ttl` is not within 60 and 86400.",
    ),
}


@pytest.mark.parametrize(("options", "sentence"), MINT_REFUSALS.values(), ids=MINT_REFUSALS)
def test_mint_refuses_in_a_sentence(home: Home, options: tuple[str, ...], sentence: str) -> None:
    """What the proxy would refuse later is refused now."""
    home.write(BASE + OTHER_PARTNER)

    result = run(token, "mint", "--config", home.config, *options)

    assert (result.exit_code, result.stderr) == (2, f"{sentence}\n")


def test_mint_without_a_key(home: Home) -> None:
    """The sentence names the command that makes one."""
    line = '[{ kid = "acme-2026a", secret_file = "secrets/acme-2026a" }]'
    home.write(BASE.replace(line, "[]"))

    result = run(token, "mint", "--config", home.config, "--offer", "a")

    assert result.exit_code == 2
    assert "`optout-proxy keys new --partner ACME` makes one" in result.stderr


@pytest.mark.parametrize("ttl", ["soon", "-5"])
def test_mint_with_a_wrong_ttl(home: Home, ttl: str) -> None:
    """Click says which option."""
    result = run(token, "mint", "--config", home.config, f"--ttl={ttl}")

    assert result.exit_code == 2
    assert "Invalid value for '--ttl': must be a duration" in result.stderr


def test_inspect_in_words(home: Home) -> None:
    """A table with one line for each thing that the token says."""
    minted = run(token, "mint", "--config", home.config, "--offer", "abc").stdout

    lines = run(token, "inspect", minted, "--config", home.config).stdout.splitlines()

    assert [line.split()[0] for line in lines] == [
        "kid",
        "partner",
        "offer",
        "origin",
        "audience",
        "id",
        "issued",
        "expires",
        "verdict",
    ]
    assert lines[-1] == "verdict   genuine and in time"


def test_inspect_without_a_configuration(home: Home) -> None:
    """It reads, and says that it has not verified."""
    minted = run(token, "mint", "--config", home.config, "--offer", "abc").stdout

    with chdir(home.folder / "secrets"):
        result = run(token, "inspect", minted)

    assert result.exit_code == 0
    assert "not verified: name the configuration with --config" in result.stdout


def test_inspect_of_a_forged_token(home: Home) -> None:
    """Exit status 1, and the code that the proxy would answer."""
    minted = run(token, "mint", "--config", home.config, "--offer", "abc").stdout
    home.secret("acme-2026a", new_secret())

    result = run(token, "inspect", minted, "--config", home.config)

    assert result.exit_code == 1
    assert "token_bad_signature: The session token's signature is wrong." in result.stdout


def test_inspect_of_something_else(home: Home) -> None:
    """It is said in one sentence."""
    result = run(token, "inspect", "hello", "--config", home.config)

    assert result.exit_code == 1
    assert result.stderr == "Error: That is not a session token.\n"
