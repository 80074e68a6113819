"""The examples in docs/tokens.md make the published token, each in its own language.

A language that is not installed is skipped, and says so; `make languages` skips none.
"""

import os
import re
import subprocess
import time
from pathlib import Path

import pytest

from proxy.inspection import inspect
from proxy.tokens import Keyring, SigningKey, decode_secret
from tests.tokens.languages import EXAMPLES, NAMES, ROOT, Command, MissingError, command
from tests.tokens.tools import AUDIENCE, CLAIMS, IAT, KID, SECRET, TOKEN, keyring

PAGE = (ROOT / "docs/tokens.md").read_text("utf-8")
SHOWN = r"^<!-- example: (\S+) -->\n```\w+\n(.*?)^```$"
BLOCKS = dict(re.findall(SHOWN, PAGE, re.MULTILINE | re.DOTALL))
REQUIRED = "LANGUAGES"  # "required": a missing one fails

PUBLISHED = "ots_live_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
CASES = {
    "a host of this machine": (PUBLISHED, "ACME", "offer-1", "http://localhost:8000", 1767225601),
    "the longest offer": (PUBLISHED, "ACME", "o" * 64, "https://shop.example", 1767225600),
    "a time after 2038": (PUBLISHED, "ACME", "offer-1", "https://shop.example", 2**31),
    "the last time": (PUBLISHED, "ACME", "offer-1", "https://shop.example", 2**32 - 1),
    "a test secret full of - and _": (
        f"ots_test_{'-_' * 21}8",
        "ACME",
        "offer-1",
        "https://shop.example:8443",
        1767225600,
    ),
}


@pytest.fixture(scope="module", params=NAMES)
def example(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Command:
    """Return the command of each example in its turn."""
    try:
        return command(request.param, tmp_path_factory.mktemp("made"))
    except MissingError as missing:
        if os.environ.get(REQUIRED) == "required":
            raise
        pytest.skip(str(missing))


def run(example: Command, *claims: str, secret: str) -> subprocess.CompletedProcess[bytes]:
    """Run an example as a shop would, its secret in the environment."""
    kept = {name: value for name, value in os.environ.items() if name != "OPTOUT_SIGNING_SECRET"}
    given = {"OPTOUT_SIGNING_SECRET": secret} if secret else {}
    return subprocess.run(
        [*example, *claims], env=kept | given, capture_output=True, check=False, timeout=60
    )


def printed(example: Command, *claims: str, secret: str = PUBLISHED) -> bytes:
    """Return what an example prints, or fail with what it complains of."""
    done = run(example, *claims, secret=secret)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def code_of(name: str) -> list[str]:
    """Return the lines of an example that are neither empty nor a comment."""
    lines = [line.strip() for line in (EXAMPLES / name).read_text("utf-8").splitlines()]
    return [line for line in lines if line and not re.match(r'#|//|/\*\*|"""', line)]


def test_the_published_secret_is_the_one_of_the_vectors() -> None:
    """In the form in which secrets are handed out."""
    assert decode_secret(PUBLISHED) == SECRET


def test_every_example_makes_the_published_token(example: Command) -> None:
    """Byte for byte, and nothing else is printed but the end of the line."""
    claims = (KID, AUDIENCE, CLAIMS["p"], CLAIMS["o"], CLAIMS["org"], CLAIMS["jti"], str(IAT))

    assert printed(example, *claims) == f"{TOKEN}\n".encode()


@pytest.mark.parametrize("case", CASES)
def test_every_example_makes_what_the_proxy_makes(example: Command, case: str) -> None:
    """Also where a language is easily wrong: signs of integers, two alphabets of base64."""
    secret, partner, offer, origin, now = CASES[case]
    key = SigningKey(kid="k_1-a", partner=partner, secret=decode_secret(secret))
    jti = "-_" * 11
    ours = Keyring([key], AUDIENCE).mint(partner, offer=offer, origin=origin, now=now, jti=jti)

    made = printed(example, "k_1-a", AUDIENCE, partner, offer, origin, jti, str(now), secret=secret)

    assert made == f"{ours}\n".encode()


def test_every_example_makes_fresh_tokens(example: Command) -> None:
    """Without an id and a time each has its own, and the proxy takes them."""
    claims = (KID, AUDIENCE, CLAIMS["p"], CLAIMS["o"], CLAIMS["org"])

    tokens = [printed(example, *claims).decode().strip() for _ in range(2)]

    sessions = [keyring().check(token, int(time.time())) for token in tokens]
    assert {(session.offer, session.origin) for session in sessions} == {
        (CLAIMS["o"], CLAIMS["org"])
    }
    assert sessions[0].jti != sessions[1].jti
    assert [inspect(token)["claims"].keys() for token in tokens] == [CLAIMS.keys()] * 2


def test_no_example_makes_a_token_without_a_secret(example: Command) -> None:
    """A forgotten secret stops the program: it does not sign with nothing."""
    claims = (KID, AUDIENCE, CLAIMS["p"], CLAIMS["o"], CLAIMS["org"])

    done = run(example, *claims, secret="")

    assert done.returncode != 0
    assert b"eyJ" not in done.stdout


def test_the_page_shows_the_very_files() -> None:
    """Every example stands in docs/tokens.md as it is, and no other does."""
    files = {path.name: path.read_text("utf-8") for path in EXAMPLES.iterdir() if path.is_file()}

    assert files == BLOCKS
    assert sorted(NAMES) == sorted(BLOCKS)


def test_the_command_to_compare_with_prints_the_published_token() -> None:
    """As a reader types it, in the folder of the project."""
    [typed] = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)

    done = subprocess.run(["/bin/sh", "-c", typed], cwd=ROOT, capture_output=True, check=True)

    assert done.stdout == f"{TOKEN}\n".encode()


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_short(name: str) -> None:
    """Fewer than 20 lines, the imports among them."""
    assert 0 < len(code_of(name)) < 20


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"mint_itsdangerous.py"}))
def test_an_example_needs_its_language_only(name: str) -> None:
    """What it imports comes with the language."""
    own = re.compile(
        r"import (hmac|json|os|secrets|sys|time)|from base64 import .*"  # Python
        r'|import \{ .* \} from "node:crypto";'
        r'|require "(json|openssl|securerandom)"'
        r"|import javax?\.[\w.]+;"
        r"|using System[\w.]*;"
        r'|import \(|"(crypto|encoding)/\w+"'
    )
    imports = [
        line for line in code_of(name) if re.match(r'import|from|require|using|"\w+/\w+"', line)
    ]

    assert [line for line in imports if not own.fullmatch(line)] == []


def test_the_page_names_the_file_of_every_main() -> None:
    """A reader of a compiled language finds a program that calls the example."""
    mains = Path(__file__).parent / "mains"

    assert [
        path.name for path in mains.iterdir() if f"tests/tokens/mains/{path.name}" not in PAGE
    ] == []
