"""`keys`: a rotation that refuses no genuine token."""

import json
import string
from datetime import UTC, datetime, timedelta
from pathlib import Path

from proxy.cli.keys import command as keys
from proxy.tokens import decode_secret, new_secret
from tests.settings.home import BASE, Home
from tests.settings.shell import mode, run


def test_a_new_key(home: Home) -> None:
    """The secret file is written; the line to add puts it in force."""
    said = json.loads(
        run(keys, "new", "--config", home.config, "--partner", "ACME", "--json").stdout
    )
    file = Path(said["secret_file"])

    home.write(BASE.replace('2026a" }]', f'2026a" }}, {said["line"]}]'))
    assert mode(file) == 0o600
    assert len(decode_secret(file.read_text("utf-8").strip())) == 32
    assert [key.kid for key in home.load_again().partners["ACME"].signing_keys] == [
        "acme-2026a",
        said["kid"],
    ]


def test_a_new_key_in_words(home: Home) -> None:
    """The line, where it belongs, and what to do next."""
    said = run(keys, "new", "--config", home.config, "--partner", "ACME").stdout

    assert "Add this line to `signing_keys` of [partners.ACME], last:" in said
    assert '{ kid = "acme-' in said
    assert "`optout-proxy keys retire acme-2026a`" in said


def test_a_new_test_key(home: Home) -> None:
    """Its secret tells scanners that it is harmless."""
    arguments = ("new", "--config", home.config, "--partner", "ACME", "--test", "--json")

    said = json.loads(run(keys, *arguments).stdout)

    assert Path(said["secret_file"]).read_text("utf-8").startswith("ots_test_")


def test_the_next_letter_is_free(home: Home) -> None:
    """A kid is never given twice, even if its line is gone and only the file is left."""
    year = datetime.now(UTC).year
    home.secret(f"acme-{year}a", new_secret())
    home.secret(f"acme-{year}b", new_secret())

    said = json.loads(
        run(keys, "new", "--config", home.config, "--partner", "ACME", "--json").stdout
    )

    assert said["kid"] == f"acme-{year}c"


def test_a_year_has_26_letters(home: Home) -> None:
    """The sentence says how to make room."""
    year = datetime.now(UTC).year
    for letter in string.ascii_lowercase:
        home.secret(f"acme-{year}{letter}", new_secret())

    result = run(keys, "new", "--config", home.config, "--partner", "ACME")

    assert result.exit_code == 2
    assert "are taken; remove secret files of dead keys" in result.stderr


def test_a_third_key_is_refused(home: Home) -> None:
    """The sentence says which one to take away."""
    home.write(BASE.replace('2026a" }]', '2026a" }, { kid = "b", secret = "x" }]'))

    result = run(keys, "new", "--config", home.config, "--partner", "ACME")

    assert result.exit_code == 2
    assert result.stderr == (
        "ACME has two keys already; take the older one away first:"
        " `optout-proxy keys retire acme-2026a` says when.\n"
    )


def test_a_key_of_nobody(home: Home) -> None:
    """The sentence lists the partners."""
    result = run(keys, "new", "--config", home.config, "--partner", "NOBODY")

    assert (result.exit_code, result.stderr) == (
        2,
        "There is no partner `NOBODY`; the configuration has: ACME.\n",
    )


def test_when_to_retire_a_key(home: Home) -> None:
    """Not before its last token has ended and may no longer bring a late choice."""
    home.write(
        BASE.replace('2026a" }]', '2026a" }, { kid = "b", secret = "x" }]').replace(
            "origins", 'late = "1h"\norigins'
        )
    )
    begin = datetime.now(UTC).replace(microsecond=0)

    said = json.loads(run(keys, "retire", "acme-2026a", "--config", home.config, "--json").stdout)

    safe_from = datetime.fromisoformat(said["safe_from"])
    assert safe_from - begin >= timedelta(seconds=86_400 + 60 + 3600)
    assert safe_from - begin < timedelta(days=2)
    assert "acme-2026a" in run(keys, "retire", "acme-2026a", "--config", home.config).stdout


def test_the_only_key_is_not_retired(home: Home) -> None:
    """There would be no tokens; this is a finding, not a wrong use."""
    result = run(keys, "retire", "acme-2026a", "--config", home.config)

    assert result.exit_code == 1
    assert "make the next one first: `optout-proxy keys new --partner ACME`" in result.stderr


def test_a_key_that_is_not_there(home: Home) -> None:
    """The sentence lists the keys."""
    result = run(keys, "retire", "none", "--config", home.config)

    assert (result.exit_code, result.stderr) == (
        2,
        "There is no key `none`; the configuration has: acme-2026a.\n",
    )
