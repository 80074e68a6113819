"""What docs/server-side.md tells its readers to type, run as it stands against a real `serve`."""

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.acceptance.deployment import PATIENCE_S, Deployment, until

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "server-side.md").read_text("utf-8")
BLOCK = r"^<!-- {}: (\S+) -->\n```\w+\n(.*?)^```$"
BLOCKS = dict(re.findall(BLOCK.format("server-side"), TEXT, re.MULTILINE | re.DOTALL))
ANSWERS = dict(re.findall(BLOCK.format("answer"), TEXT, re.MULTILINE | re.DOTALL))
SETTING = re.findall(r"^```toml\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
SHELL = [name for name in BLOCKS if name.endswith(".sh")]
PROGRAM = [name for name in BLOCKS if name.endswith(".py")]
OF_SERVERS = ("/v1/sessions", "/v1/choices/batch", "/v1/offers/{offer}")
ROW = re.compile(r"^\| `(\w+)` \| (\d+) \| (retry|final) \| .+ \|$", re.MULTILINE)
settling = pytest.mark.parametrize("deployment", [{"settle": '"3s"'}], indirect=True)


def filled(deployment: Deployment, name: str) -> str:
    """Return a block with this deployment's addresses in the place of the document's."""
    text: str = BLOCKS[name].replace("https://proxy.shop.example", deployment.url)
    return text.replace("https://shop.example", deployment.origin)


def run(deployment: Deployment, *command: str) -> str:
    """Run a command as the reader does; return what it prints."""
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
        cwd=deployment.folder,
        env={**os.environ, "SERVER_KEY": deployment.server_key},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def type_in(deployment: Deployment, name: str) -> list[dict[str, Any]]:
    """Run one shell block; return its answer, or those of its lines."""
    printed = run(deployment, "sh", "-eu", "-c", filled(deployment, name))
    return [json.loads(line) for line in printed.splitlines()]


def shown(name: str) -> list[dict[str, Any]]:
    """Return the answer that the document shows, or those of its lines."""
    decoder, text, found = json.JSONDecoder(), ANSWERS[name].strip(), []
    while text:
        value, end = decoder.raw_decode(text)
        found.append(value)
        text = text[end:].lstrip()
    return found


def program(deployment: Deployment, *names: str) -> Path:
    """Write the blocks into one file, in the document's order."""
    path = deployment.folder / "shop.py"
    path.write_text("\n\n".join(filled(deployment, name) for name in names))
    return path


def is_delivered(deployment: Deployment) -> bool:
    """Tell whether the insurer has heard of OFFER-1."""
    return deployment.offer("OFFER-1").get("report") == "delivered"


@settling
def test_every_curl_answers_as_shown(deployment: Deployment) -> None:
    """From the session to the batch, in the document's order; `…` stands for anything."""
    (deployment.folder / "choices.jsonl").write_text(BLOCKS["choices.jsonl"])
    for name in SHELL:
        if name == "offer.sh":
            until(lambda: is_delivered(deployment), "the delivery")
        said = type_in(deployment, name)
        expected = shown(name)
        assert [one.keys() for one in said] == [one.keys() for one in expected], name
        for one, other in zip(said, expected, strict=True):
            assert one | {key: "…" for key in one if other[key] == "…"} == other

    (received,) = deployment.received("OFFER-1")
    assert (received["verified"], received["status"]) == (True, 204)
    assert deployment.offer("OFFER-3")["code"] == "not_found"


def test_every_curl_may_be_typed_again(deployment: Deployment) -> None:
    """The document promises that it is safe to repeat each call."""
    (deployment.folder / "choices.jsonl").write_text(BLOCKS["choices.jsonl"])
    first = {name: type_in(deployment, name) for name in SHELL}
    until(lambda: len(deployment.received()) >= 2, "both deliveries")
    again = {name: type_in(deployment, name) for name in SHELL}

    assert again["session.sh"] == first["session.sh"]
    assert [again[name][0]["replayed"] for name in ("choice.sh", "purchase.sh")] == [True, True]
    assert [line.get("replayed") for line in again["batch.sh"]] == [True, None, True]
    assert len(deployment.received()) == 2


def test_the_python_blocks_make_one_program(deployment: Deployment) -> None:
    """They tell a whole evening; the insurer has each decline once."""
    printed = run(deployment, sys.executable, str(program(deployment, *PROGRAM)))
    until(lambda: len(deployment.received()) >= 2, "both deliveries")
    until(lambda: is_delivered(deployment), "the delivery")
    stands = deployment.offer("OFFER-1")

    assert printed.splitlines()[1:] == ["OFFER-2 told", "OFFER-3 invalid_request"]
    assert (stands["choice"], stands["purchased"], stands["order"]) == (
        "declined",
        True,
        "ORDER-1",
    )
    assert {entry["offer"] for entry in deployment.received()} == {"OFFER-1", "OFFER-2"}
    assert all(entry["verified"] for entry in deployment.received())


def test_the_retrying_block_is_heard_in_the_end(deployment: Deployment) -> None:
    """The first connection is cut without an answer; then the proxy is up again."""
    deployment.proxy.stop()
    path = program(deployment, "start.py", "retry.py")
    told = 'print(tell_until_heard(a_message("OFFER-1", choice="declined"))["choice"])\n'
    path.write_text(path.read_text() + told)
    with socket.create_server(("127.0.0.1", deployment.port)) as listener:
        shop = subprocess.Popen(
            [sys.executable, str(path)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "SERVER_KEY": deployment.server_key},
        )
        listener.settimeout(PATIENCE_S)
        listener.accept()[0].close()
    deployment.start_proxy()

    assert shop.communicate(timeout=PATIENCE_S)[0] == "declined\n"
    until(lambda: is_delivered(deployment), "the delivery")
    assert len(deployment.received("OFFER-1")) == 1


def test_the_shortest_partner_is_enough(tmp_path: Path) -> None:
    """Without sessions a partner needs no origin and no signing key."""
    deployment = Deployment(tmp_path)
    text = deployment.config.read_text()
    deployment.config.write_text(
        re.sub(r"^(origins|signing_keys) = .*\n", "", text, flags=re.MULTILINE)
    )
    (setting,) = SETTING
    try:
        deployment.start()
        type_in(deployment, "choice.sh")
        until(lambda: is_delivered(deployment), "the delivery")
        (refused,) = type_in(deployment, "session.sh")
    finally:
        deployment.end()

    assert [line.partition(" = ")[0] for line in setting.splitlines()] == [
        "[partners.ACME]",
        "server_key_hashes",
    ]
    assert refused["code"] == "origin_not_allowed"


def test_no_block_is_left_out() -> None:
    """Each block of the document is run, shown as an answer, or the setting above."""
    blocks = len(re.findall(r"^```", TEXT, re.MULTILINE)) // 2

    assert blocks == len(BLOCKS) + len(ANSWERS) + len(SETTING)
    assert set(BLOCKS) == {*SHELL, *PROGRAM, "choices.jsonl"}
    assert set(ANSWERS) == set(SHELL)
    assert {Path(name).stem for name in SHELL} <= {Path(name).stem for name in PROGRAM}


@pytest.mark.parametrize("name", PROGRAM)
def test_no_python_block_is_long(name: str) -> None:
    """Who copies it reads it first."""
    assert len(BLOCKS[name].splitlines()) < 20


def test_the_table_of_errors_is_that_of_the_interface() -> None:
    """Every code that a server's call may answer, with its status and verdict, and no other."""
    interface = yaml.safe_load((ROOT / "openapi.yaml").read_text())
    codes = interface["x-problem-codes"]
    called = {
        code
        for path in OF_SERVERS
        for operation in interface["paths"][path].values()
        for code in operation["x-codes"]
    }
    expected = {(code, str(codes[code]["status"]), codes[code]["x-retry"]) for code in called}
    of_the_field = {("origin_not_allowed", "422", "retry")}  # 403 is for a page's header

    written = set(ROW.findall(TEXT))
    assert written == {row for row in expected if row[0] != "origin_not_allowed"} | of_the_field
