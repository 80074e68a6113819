"""`export`: one line per offer, signed; whoever has the published key finds every change."""

import base64
import csv
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import text

from proxy import export
from proxy.cli import main
from proxy.funnel import Wanted
from proxy.ledger import Ledger
from proxy.receipts import Signer, load_signing_key
from tests.core.conftest import DELIVERED, Register, a_message
from tests.evidence.conftest import Deployment, publish
from tests.settings.shell import mode, run


def made(deployment: Deployment, out: Path, *options: object) -> Result:
    """Run `export` in the deployment."""
    return run(main, "export", "--config", deployment.home.config, "--out", out, *options)


def verified(out: Path, keys: Path, *options: object) -> Result:
    """Run `export verify`, which has no configuration."""
    return run(main, "export", "verify", out, "--keys", keys, *options)


@pytest.fixture(params=export.FORMATS)
def out(request: pytest.FixtureRequest, filled: Deployment, tmp_path: Path) -> Path:
    """An export of the full register, in each format."""
    path = tmp_path / f"offers.{request.param}"
    assert made(filled, path, "--format", request.param).exit_code == 0
    return path


def test_every_offer_is_one_line(filled: Deployment, out: Path) -> None:
    """As many as the register holds, open to the owner only."""
    report = run(main, "report", "--config", filled.home.config, "--format", "jsonl")
    shown = json.loads(report.stdout.splitlines()[-1])["total"]["shown"]

    lines = out.read_text("utf-8").splitlines()

    assert len(lines) == shown + (out.suffix == ".csv")
    assert mode(out) == mode(export.signature_of(out)) == 0o600


def test_the_published_key_verifies_it(filled: Deployment, out: Path) -> None:
    """It says whose it is, what it holds, and that it is complete."""
    result = verified(out, filled.keys)

    assert result.exit_code == 0
    assert "is what optout-proxy:test signed" in result.stdout
    assert "Complete: every offer of " in result.stdout


def test_the_statement_is_for_machines_too(filled: Deployment, out: Path) -> None:
    """With the columns, the digest and the count."""
    statement = json.loads(verified(out, filled.keys, "--json").stdout)

    assert statement["rows"] == statement["completeness"]["offers"]
    assert statement["columns"] == list(export.COLUMNS)
    assert statement["file"] == out.name


def test_any_library_can_verify_it(filled: Deployment, out: Path) -> None:
    """It is a flattened JSON web signature with EdDSA, checked here by hand."""
    content = json.loads(export.signature_of(out).read_text("utf-8"))
    (key,) = json.loads(filled.keys.read_text("utf-8"))["keys"]
    public = Ed25519PublicKey.from_public_bytes(_decoded(key["x"]))

    public.verify(
        _decoded(content["signature"]), f"{content['protected']}.{content['payload']}".encode()
    )

    header = json.loads(_decoded(content["protected"]))
    assert header == {"alg": "EdDSA", "kid": key["kid"], "typ": "optout-export+json"}
    assert json.loads(_decoded(content["payload"])) == content["statement"]


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _swap(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def _state(path: Path, **changes: Any) -> None:
    signature = export.signature_of(path)
    content = json.loads(signature.read_text("utf-8"))
    content["statement"] |= changes
    signature.write_text(json.dumps(content), "utf-8")


def _claim(path: Path, **changes: Any) -> None:
    signature = export.signature_of(path)
    content = json.loads(signature.read_text("utf-8"))
    claims = json.loads(_decoded(content["payload"])) | changes
    content |= {"statement": claims, "payload": _encoded(claims)}
    signature.write_text(json.dumps(content), "utf-8")


def _retype(path: Path) -> None:
    signature = export.signature_of(path)
    content = json.loads(signature.read_text("utf-8"))
    header = json.loads(_decoded(content["protected"])) | {"alg": "none"}
    signature.write_text(json.dumps(content | {"protected": _encoded(header)}), "utf-8")


def _encoded(values: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(values).encode()).rstrip(b"=").decode()


def _signature(path: Path, content: str) -> None:
    export.signature_of(path).write_text(content, "utf-8")


SPOILT: dict[str, tuple[Callable[[Path], object], str]] = {
    "one bit": (lambda path: _swap(path, 1_000), "is not what was signed"),
    "the last bit": (lambda path: _swap(path, -2), "is not what was signed"),
    "cut": (lambda path: path.write_bytes(path.read_bytes()[:-1]), "something is cut off"),
    "empty": (lambda path: path.write_bytes(b""), "it is empty"),
    "grown": (lambda path: path.write_bytes(path.read_bytes() + b"\n"), "it has grown"),
    "no signature": (lambda path: export.signature_of(path).unlink(), "is not there"),
    "empty signature": (lambda path: _signature(path, ""), "is not the signature"),
    "a list": (lambda path: _signature(path, "[]"), "is not the signature"),
    "an object": (lambda path: _signature(path, "{}"), "not one of an export"),
    "no base64": (
        lambda path: _signature(path, '{"protected": "é", "payload": "", "signature": ""}'),
        "not one of an export",
    ),
    "reworded": (lambda path: _state(path, rows=1), "not the one that was signed"),
    "signed claim": (lambda path: _claim(path, rows=1), "The signature is wrong"),
    "no algorithm": (_retype, "is not an export"),
}


@pytest.mark.parametrize(("spoil", "said"), SPOILT.values(), ids=SPOILT)
def test_whatever_is_changed_is_found(
    filled: Deployment, out: Path, spoil: Callable[[Path], object], said: str
) -> None:
    """One sentence that says what, and exit status 1."""
    spoil(out)

    result = verified(out, filled.keys)

    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (1, "", 1)
    assert said in result.stderr


def test_another_key_verifies_nothing(filled: Deployment, out: Path, tmp_path: Path) -> None:
    """Neither one of another deployment nor one that took its name."""
    signer = Signer(load_signing_key(tmp_path / "other.pem")[0], "optout-proxy:test")
    other = publish(tmp_path / "other.json", signer)
    (ours,) = json.loads(filled.keys.read_text("utf-8"))["keys"]
    claimed = signer.public_keys()["keys"][0] | {"kid": ours["kid"]}
    disguised = tmp_path / "disguised.json"
    disguised.write_text(json.dumps({"keys": [claimed]}), "utf-8")

    unknown, wrong = verified(out, other), verified(out, disguised)

    assert (unknown.exit_code, wrong.exit_code) == (1, 1)
    assert f"It was signed with the key {ours['kid']}" in unknown.stderr
    assert "The signature is wrong" in wrong.stderr


def test_the_key_is_found_among_others(filled: Deployment, out: Path, tmp_path: Path) -> None:
    """A set may hold keys of other kinds and of other times."""
    known = json.loads(filled.keys.read_text("utf-8"))["keys"]
    more = tmp_path / "more.json"
    more.write_text(json.dumps({"keys": [{"kty": "RSA", "kid": "old"}, *known]}), "utf-8")

    assert verified(out, more).exit_code == 0


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"keys": [1]}', '{"keys": [{"kty": "OKP"'])
def test_keys_that_are_none_are_wrong_use(out: Path, tmp_path: Path, content: str) -> None:
    """Exit status 2: nothing was verified."""
    keys = tmp_path / "keys.json"
    keys.write_text(content, "utf-8")

    result = verified(out, keys)

    assert result.exit_code == 2
    assert "is not a JSON web key set" in result.stderr


def test_nothing_is_written_over(filled: Deployment, out: Path) -> None:
    """Neither the file nor its signature."""
    again = made(filled, out)
    out.unlink()
    beside = made(filled, out)

    assert (again.exit_code, beside.exit_code) == (2, 2)
    assert "nothing is ever written over it" in again.stderr
    assert not out.exists()


@pytest.mark.parametrize("name", ["audit", "signing.pem"])
def test_a_key_that_is_gone_is_not_made_anew(
    deployment: Deployment, tmp_path: Path, name: str
) -> None:
    """Nobody would know it, and nothing would match."""
    key = deployment.home.folder / "secrets" / name
    key.unlink()

    result = made(deployment, tmp_path / "offers.csv")

    assert result.exit_code == 2
    assert f"{name} is gone; restore it" in result.stderr
    assert not key.exists()


@pytest.mark.parametrize("kind", export.FORMATS)
def test_an_empty_register_makes_an_export(
    deployment: Deployment, tmp_path: Path, kind: str
) -> None:
    """Of no rows, signed and complete."""
    path = tmp_path / "offers"

    assert made(deployment, path, "--format", kind).exit_code == 0
    result = verified(path, deployment.keys)

    assert result.exit_code == 0
    assert "0 offers" in result.stdout


def test_what_is_not_complete_says_so_under_its_signature(
    deployment: Deployment, tmp_path: Path
) -> None:
    """Whoever makes it and whoever verifies it are both told, with exit status 1."""
    deployment.fill(days=1, scale=0.1)
    with deployment.database.begin() as connection:
        connection.execute(text("UPDATE offers SET choice = 'other' WHERE id = 1"))

    results = [
        made(deployment, tmp_path / "offers.csv"),
        verified(tmp_path / "offers.csv", deployment.keys),
    ]

    assert [result.exit_code for result in results] == [1, 1]
    assert all("offers that stand in no column: 1" in result.stdout for result in results)


def test_orders_are_there_only_when_asked_for(filled: Deployment, tmp_path: Path) -> None:
    """Their keyed hashes always are; nothing else that is personal ever is."""
    made(filled, tmp_path / "without.csv")
    made(filled, tmp_path / "with.csv", "--orders")

    without, within = ((tmp_path / name).read_text("utf-8") for name in ("without.csv", "with.csv"))

    assert "ORDER-" not in without
    rows = list(csv.DictReader(within.splitlines()))
    bought = [row for row in rows if row["purchased"] == "true" and row["order"]]
    assert bought
    assert all(len(row["order_hash"]) == 64 for row in bought)


def exported(register: Register, kind: str = "jsonl", **more: Any) -> list[str]:
    """Return the lines of an export of the register."""
    ledger = Ledger(b"audit key of a test, 32 bytes at least")
    with register.database.snapshot() as connection:
        found = export.rows(connection, Wanted(), ledger, **more)
        return [line.decode() for line in export.encode(found, export.COLUMNS, kind)]


def test_a_row_tells_what_the_register_holds(register: Register) -> None:
    """The same on both engines, times in RFC 3339."""
    register.decline(purchased=True, order="ORDER-1", metadata={"product": "luggage"})
    register.attempt(DELIVERED)

    (line,) = exported(register)

    row = json.loads(line)
    digest = register.find().digest
    assert digest is not None
    assert row["digest"] == digest.hex()
    assert (row["choice"], row["report"], row["facts"]) == ("declined", "delivered", 3)
    assert (row["created_at"], row["product"]) == ("2027-01-15T08:00:00.000Z", "luggage")
    assert (row["late"], row["conflict"], row["attempts"]) == (False, None, 1)


def test_a_spreadsheet_meets_no_formula(register: Register) -> None:
    """And one offer stays one line, whatever its product is called."""
    register.decline(metadata={"product": "=1+1\nsecond line"})

    _, line = exported(register, "csv")
    (exact,) = exported(register)

    assert ",'=1+1 second line," in line
    assert json.loads(exact)["product"] == "=1+1\nsecond line"


def test_a_clock_far_beyond_is_told_as_it_is(register: Register) -> None:
    """A server may claim any time; the export goes on."""
    register.decline(at=2**53 - 1)

    assert json.loads(exported(register)[0])["chosen_at"] == str(2**53 - 1)


def test_pages_join_without_a_seam(register: Register) -> None:
    """More offers than are read at once: each there once, in order."""
    register.intake.record_all([a_message(f"offer-{number}") for number in range(2_050)])

    offers = [json.loads(line)["offer"] for line in exported(register)]

    assert len(set(offers)) == len(offers) == 2_050


def test_a_huge_file_takes_little_memory(tmp_path: Path) -> None:
    """A line at a time is written and read: 64 MB leave no trace of their size."""
    line = b"x" * 1_023 + b"\n"
    path = tmp_path / "huge.jsonl"
    tracemalloc.start()

    written = export.write(path, (line for _ in range(65_536)))
    key, _ = load_signing_key(tmp_path / "signing.pem")
    statement = {"bytes": written.size, "lines": written.lines, "sha256": written.sha256}
    export.signature_of(path).write_bytes(export.sign(statement, key, "key"))
    export.verify(path, {"key": key.public_key()})

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert written.size == 64 * 1024 * 1024
    assert peak < 8 * 1024 * 1024


def test_what_fails_on_the_way_leaves_nothing(tmp_path: Path) -> None:
    """Not half a file, and no name that is taken."""

    def lines() -> Any:
        yield b"first\n"
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        export.write(tmp_path / "offers.csv", lines())

    assert list(tmp_path.iterdir()) == []
