"""Every secret and key: whether it can be read, has the right form, and is nobody else's."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from stat import S_IRWXO

from sqlalchemy import make_url

from proxy.checks.findings import Findings, fail, or_ok, refused, warn
from proxy.checks.partners import upstreams
from proxy.claims import LONGEST_TTL
from proxy.clocks import time_of, wall
from proxy.credentials import credentials_for
from proxy.errors import ConfigurationError
from proxy.secret import PLACEHOLDER
from proxy.settings import MOST_KEYS, PartnerSetting, Settings, SigningKeySetting
from proxy.tokens import LEEWAY, decode_secret

Texts = Mapping[str, str]  # a secret by its place, such as `partners.ACME.signing_keys[0].secret`

_QUOTED = re.compile(r"(['\"]).*\1")
_OF_NOTHING = {f"sha256:{hashlib.sha256(each).hexdigest()}" for each in (b"", b"\n", b"\r\n")}


def key_findings(settings: Settings, config: Path | None) -> Findings:
    """Open every secret; say what is wrong with it, and never what it is."""
    texts: dict[str, str] = {}
    yield from or_ok(_read(settings, texts), "secrets", "Every secret can be read.")
    yield from or_ok(_odd(texts), "secret_text", "No secret has anything odd about it.")
    yield from or_ok(_twice(settings, texts), "secret_twice", "No secret stands in two places.")
    yield from or_ok(
        _config_file(settings, config, texts), "config_file", "It shows no secret to others."
    )
    yield from or_ok(
        _signing_keys(settings, texts), "signing_keys", "Session tokens can be verified."
    )
    yield from or_ok(_server_keys(settings), "server_keys", "No server key is an empty one.")


def _read(settings: Settings, texts: dict[str, str]) -> Findings:
    """Put what could be read into *texts*; tell of the rest."""
    seen: set[str] = set()
    for place, secret in settings.secrets():
        try:
            texts[place] = secret.read()
        except ConfigurationError as error:
            if str(error) not in seen:  # one file may serve several upstreams
                yield refused("secrets", error)
            seen.add(str(error))
    if not seen:
        yield from _unusable(settings)


def _unusable(settings: Settings) -> Findings:
    """Tell of credentials that can be read and not be used."""
    for name, upstream in upstreams(settings):
        try:
            credentials_for(upstream)
        except ConfigurationError as error:
            yield fail("secrets", f"{name}: {error}", "Write it anew, without what is around it.")


def _odd(texts: Texts) -> Findings:
    for place, text in texts.items():
        if text.startswith("\ufeff"):
            yield fail(
                "secret_text",
                f"`{place}` begins with an invisible byte order mark, which would be sent too.",
                "Save its file as UTF-8 without that mark.",
            )
        elif text != text.strip():
            yield warn(
                "secret_text",
                f"`{place}` begins or ends with a space, which is taken for a part of it.",
                "Write it anew without the space.",
            )
        elif _QUOTED.fullmatch(text):
            yield warn(
                "secret_text",
                f"`{place}` stands in quotes, which are taken for a part of it.",
                "Write it into its file without the quotes.",
            )
        elif text.startswith(PLACEHOLDER):
            yield warn(
                "secret_text",
                f"`{place}` is still what `init` wrote there.",
                "Put in what the insurer gave you.",
            )


def _twice(settings: Settings, texts: Texts) -> Findings:
    first: dict[str, str] = {}
    for place, kid in _places_of_keys(settings):
        text = texts.get(place)
        if text is not None and (other := first.setdefault(text, kid)) != kid:
            yield fail(
                "secret_twice",
                f"The keys {other} and {kid} are one secret: taking one away would retire nothing.",
                "`optout-proxy keys new` makes another.",
            )
    for place, text in texts.items():
        public = re.sub(r"\.(api|client)_secret\Z", "", place)
        for name in ("api_key", "client_id"):
            if public != place and texts.get(f"{public}.{name}") == text:
                yield fail(
                    "secret_twice",
                    f"`{place}` is the same as `{name}`.",
                    "The insurer gives two texts; put each into its own file.",
                )


def _places_of_keys(settings: Settings) -> Iterator[tuple[str, str]]:
    for name, partner in settings.partners.items():
        for number, key in enumerate(partner.signing_keys):
            yield f"partners.{name}.signing_keys[{number}].secret", key.kid


def _config_file(settings: Settings, config: Path | None, texts: Texts) -> Findings:
    if config is None or not config.stat().st_mode & S_IRWXO:
        return
    written = config.read_text("utf-8")
    password = make_url(settings.database).password
    given = [place for place, secret in settings.secrets() if secret.path is None]
    shown = [place for place in given if texts.get(place, "\0") in written]
    if password and str(password) in written:
        shown.append("database")
    if shown:
        yield fail(
            "config_file",
            f"{config.name} holds `{shown[0]}`, and every user of this machine may read it.",
            f"Run `chmod 600 {config}`, or move the secret to a file: `…_file`.",
        )


def _signing_keys(settings: Settings, texts: Texts) -> Findings:
    for name, partner in settings.partners.items():
        for number, key in enumerate(partner.signing_keys):
            text = texts.get(f"partners.{name}.signing_keys[{number}].secret")
            if text is not None:
                yield from _signing_key(partner, key, text)
        yield from _old_key(partner)


def _signing_key(partner: PartnerSetting, key: SigningKeySetting, text: str) -> Findings:
    try:
        decode_secret(text)
    except ValueError as error:
        yield fail(
            "signing_keys",
            f"The signing secret of kid `{key.kid}` {error}.",
            f"`optout-proxy keys new --partner {partner.name}` writes a good one.",
        )
    is_live = any(origin.startswith("https:") for origin in partner.origins)
    if text.startswith("ots_test_") and is_live:
        yield warn(
            "signing_keys",
            f"The key {key.kid} of {partner.name} is a test one, and its pages are live.",
            f"`optout-proxy keys new --partner {partner.name}` writes one for live pages.",
        )


def _old_key(partner: PartnerSetting) -> Findings:
    """Tell of a key beside which a newer one has stood for longer than any token lives."""
    if len(partner.signing_keys) < MOST_KEYS:
        return
    old, newest = partner.signing_keys[0], partner.signing_keys[-1]
    if newest.secret.path is None or not newest.secret.path.exists():
        return
    since = newest.secret.path.stat().st_mtime
    life = timedelta(seconds=LONGEST_TTL + LEEWAY) + partner.late
    if wall() / 1000 - since > life.total_seconds():
        yield warn(
            "signing_keys",
            f"{old.kid} still stands beside {newest.kid}, "
            f"whose file is of {time_of(int(since) * 1000)}.",
            f"If {partner.name} signs with {newest.kid} by now, take {old.kid} away: "
            f"`optout-proxy keys retire {old.kid}`.",
        )


def _server_keys(settings: Settings) -> Findings:
    for name, partner in settings.partners.items():
        if _OF_NOTHING & set(partner.server_key_hashes):
            yield fail(
                "server_keys",
                f"A hash in `server_key_hashes` of {name} is that of an empty text.",
                'Hash the whole key: `printf %s "$KEY" | sha256sum`.',
            )
