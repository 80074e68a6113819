"""The tokens in the documents are genuine, and the code in the README makes genuine ones."""

import re
import subprocess
import sys
import time
from base64 import urlsafe_b64encode
from pathlib import Path

from proxy.tokens import Keyring, SigningKey

ROOT = Path(__file__).resolve().parent.parent
SECRET = bytes(range(32))
KEYRING = Keyring(
    [SigningKey(kid="acme-2026a", partner="ACME", secret=SECRET)], "optout-proxy:prod"
)
OFFER = "a1b2c3d4-0000-4000-8000-000000000001"
ORIGIN = "https://shop.example"


def test_the_readme_makes_a_genuine_token() -> None:
    """Ten lines copied from the README are enough for a shop's server."""
    text = (ROOT / "README.md").read_text("utf-8")
    code = re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0]
    secret = "ots_live_" + urlsafe_b64encode(SECRET).rstrip(b"=").decode()
    call = f"print(session_token({secret!r}, 'acme-2026a', 'ACME', {OFFER!r}, {ORIGIN!r}))"

    made = subprocess.run(
        [sys.executable, "-c", f"{code}\n{call}"], check=True, capture_output=True, text=True
    )

    session = KEYRING.check(made.stdout.strip(), int(time.time()))
    assert (session.partner, session.offer, session.origin) == ("ACME", OFFER, ORIGIN)


def test_the_token_to_compare_with_is_genuine() -> None:
    """docs/reference/token.md shows a token that its own rules yield."""
    text = (ROOT / "docs/reference/token.md").read_text("utf-8")
    [token] = re.findall(r"^acme-2026a\.\S+$", text, re.MULTILINE)

    made = KEYRING.mint(
        "ACME", offer=OFFER, origin=ORIGIN, now=1767225600, jti="AAECAwQFBgcICQoLDA0ODw"
    )

    assert KEYRING.check(token, 1767225600).offer == OFFER
    assert made == token
