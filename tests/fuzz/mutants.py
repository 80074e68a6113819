"""Tokens that are nearly good: every one of them must be refused, with a code."""

import hashlib
import random
import string
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import quote

from itsdangerous import Signer, TimestampSigner

from proxy.errors import Problem
from proxy.tokens import SALT, Keyring, SigningKey
from tests.tokens.tools import AUDIENCE, IAT, KID, SECRET, TOKEN, sign, with_claims

SAFE = string.ascii_letters + string.digits + "-_"
WILD = SAFE + ".=+/%!é \t\r\n\0\u200b\uff0e\ud800"
BLOCK = 1_000
ELSEWHERE = b"a secret of somebody else, 32 B."

RING = Keyring(
    [
        SigningKey(kid=KID, partner="ACME", secret=SECRET),
        SigningKey(kid="other", partner="OTHER", secret=ELSEWHERE),
    ],
    AUDIENCE,
)
GENUINE = [TOKEN, with_claims(jti="b" * 22), with_claims(o="B-2"), with_claims(ttl=86_400)]
ALIEN = [  # genuine in form, and of other keys, purposes, or deployments
    Signer(ELSEWHERE, salt=SALT, key_derivation="hmac", digest_method=hashlib.sha256)
    .sign(TOKEN.rpartition(".")[0])
    .decode(),
    TimestampSigner(SECRET, salt=SALT, key_derivation="hmac", digest_method=hashlib.sha512)
    .sign(TOKEN.rsplit(".", 2)[0])
    .decode(),
    TimestampSigner(SECRET, salt=SALT, key_derivation="none", digest_method=hashlib.sha256)
    .sign(TOKEN.rsplit(".", 2)[0])
    .decode(),
    sign(b"{}", salt=b"optout.admin.v1"),
    with_claims(aud="optout-proxy:staging"),
    with_claims(p="OTHER"),
    TOKEN.replace(KID, "other"),
]

Change = Callable[[random.Random, str], str]


def _characters(dice: random.Random, text: str) -> str:
    letters, lengths = dice.choice(((SAFE, (1,)), (WILD, (0, 1, 2))))
    for _ in range(dice.randint(1, 4)):
        at = dice.randrange(len(text))
        text = text[:at] + "".join(dice.choices(letters, k=dice.choice(lengths))) + text[at + 1 :]
    return text


def _bit(dice: random.Random, text: str) -> str:
    """One bit of one part is another; the spelling stays canonical."""
    parts = text.split(".")
    at = dice.randrange(1, len(parts))
    raw = bytearray(urlsafe_b64decode(parts[at] + "=="))
    raw[dice.randrange(len(raw))] ^= 1 << dice.randrange(8)
    parts[at] = urlsafe_b64encode(raw).rstrip(b"=").decode()
    return ".".join(parts)


def _spelling(dice: random.Random, text: str) -> str:
    """The same bytes, written otherwise."""
    at = dice.randrange(1, 4)
    parts = text.split(".")
    last = SAFE.index(parts[at][-1])
    ways = [
        parts[at] + "=" * dice.randint(1, 3),
        parts[at][:-1] + SAFE[(last + dice.randint(1, 3)) % 64],
        f" {parts[at]}",
        f"{parts[at]}\n",
        quote(parts[at], safe="").replace("_", "%5F").replace("a", "%61", 1),
        parts[at].swapcase(),
    ]
    parts[at] = dice.choice(ways)
    return ".".join(parts)


def _mixture(dice: random.Random, text: str) -> str:
    """Parts of several tokens, in any number and order."""
    pool = [part for token in (text, *GENUINE, *ALIEN) for part in token.split(".")]
    own = text.split(".")
    for _ in range(dice.randint(1, 2)):
        own[dice.randrange(len(own))] = dice.choice(pool)
    if dice.random() < 0.2:
        own.insert(dice.randrange(len(own) + 1), dice.choice(pool))
    if dice.random() < 0.2:
        dice.shuffle(own)
    return ".".join(own)


def _length(dice: random.Random, text: str) -> str:
    """Cut, doubled, or far too long."""
    return dice.choice(
        [
            text[: dice.randrange(len(text))],
            text[dice.randrange(1, len(text)) :],
            text * 2,
            text + dice.choice(WILD) * dice.randint(1, 4_000),
        ]
    )


def _alien(dice: random.Random, _: str) -> str:
    return dice.choice(ALIEN)


CHANGES: list[Change] = [_characters, _bit, _spelling, _mixture, _length]


def mutant(dice: random.Random) -> str:
    """Return a text that no key of ours has signed for this deployment."""
    while True:
        change = _alien if dice.random() < 0.01 else dice.choice(CHANGES)
        text = change(dice, dice.choice(GENUINE))
        if text not in GENUINE:
            return text


@dataclass
class Tally:
    """What became of the mutants."""

    count: int = 0
    accepted: list[str] = field(default_factory=list)
    codes: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0  # in judging, less the making

    @property
    def microseconds(self) -> float:
        """What judging one costs."""
        return self.seconds / self.count * 1e6


def judge_mutants(count: int, seed: int, told: Callable[[int], None] = lambda _: None) -> Tally:
    """Judge *count* mutants; any exception but a Problem comes out."""
    dice, tally = random.Random(seed), Tally()
    while tally.count < count:
        block = [mutant(dice) for _ in range(min(BLOCK, count - tally.count))]
        begin = time.perf_counter()
        verdicts = [_verdict(text) for text in block]
        tally.seconds += time.perf_counter() - begin
        tally.count += len(block)
        tally.codes.update(verdicts)
        tally.accepted += [text for text, code in zip(block, verdicts, strict=True) if not code]
        told(tally.count)
    return tally


def _verdict(text: str) -> str:
    try:
        RING.check(text, IAT)
    except Problem as problem:
        return problem.code
    return ""
