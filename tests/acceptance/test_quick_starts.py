"""The quick starts, typed as they stand against real processes, and what `operating` tells."""

import json
import os
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests

from deploy.site.interface import TYPED
from proxy import __version__
from tests.acceptance.deployment import PATIENCE_S, Deployment, free_port, until

ROOT = Path(__file__).parents[2]
START = ROOT / "docs/start"
MARKED = re.compile(r"^<!-- start: (\S+) -->\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BARE = re.compile(r"(?<!-->\n)^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PROXY, SHOP = "https://proxy.shop.example", "https://shop.example"
SETTLE = "OPTOUT_PARTNERS__ACME__UPSTREAMS__TICKETS__SETTLE"
SERVE = ["--bind", "--admin-bind"]
PATH = f"{Path(sys.executable).parent}:{os.environ['PATH']}"


def blocks(name: str) -> dict[str, str]:
    """Return the blocks of a quick start that are typed, by their names."""
    return dict(MARKED.findall((START / f"{name}.md").read_text("utf-8")))


def type_in(text: str, folder: Path, **environ: str) -> str:
    """Run a block as the reader's shell does; return what it prints."""
    done = subprocess.run(
        ["/bin/sh", "-eu", "-c", text],
        cwd=folder,
        env={**os.environ, "PATH": PATH, **environ},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, (text, done.stdout, done.stderr)
    return done.stdout


def at(deployment: Deployment, text: str, **environ: str) -> str:
    """Run a block against *deployment*, with its addresses in the place of the document's."""
    text = text.replace(PROXY, deployment.url).replace(SHOP, deployment.origin)
    return type_in(
        text,
        deployment.folder,
        SERVER_KEY=deployment.server_key,
        OPTOUT_CONFIG=str(deployment.config),
        **environ,
    )


def test_the_back_end_engineer_reports_a_decline(deployment: Deployment) -> None:
    """After a token that the proxy would take."""
    typed = blocks("back-end")

    assert "verdict   genuine and in time" in at(deployment, typed["mint.sh"])
    assert json.loads(at(deployment, typed["choice.sh"]))["choice"] == "declined"
    assert json.loads(at(deployment, typed["choice.sh"]))["replayed"] is True
    at(deployment, typed["purchase.sh"])
    stands = json.loads(at(deployment, typed["offer.sh"]))
    assert (stands["choice"], stands["order"]) == ("declined", "ORDER-1")


def test_the_analyst_proves_the_figures(deployment: Deployment) -> None:
    """Report, export and its verification, seals, conflicts, the shop's orders."""
    typed = blocks("analyst")
    at(deployment, blocks("back-end")["choice.sh"])
    until(lambda: deployment.offer("OFFER-1")["report"] == "delivered", "the delivery")
    deployment.proxy.stop()  # what was recorded is sealed: once a minute, and at the end
    deployment.start_proxy()
    (deployment.folder / "orders.csv").write_text(typed.pop("orders.csv"))

    said = {name: at(deployment, text) for name, text in typed.items() if name != "reconcile.sh"}
    at(deployment, blocks("back-end")["purchase.sh"])
    said["reconcile.sh"] = at(deployment, typed["reconcile.sh"])

    assert "ACME" in said["report.sh"]
    assert "<table" in (deployment.folder / "funnel.html").read_text()
    assert said.keys() == typed.keys()


def test_the_reviewer_compares_the_hash(deployment: Deployment) -> None:
    """What is served has the hash that is published and that `snippet` prints."""
    typed = blocks("reviewer")
    at(deployment, blocks("back-end")["choice.sh"])

    printed = json.loads(at(deployment, typed["snippet.sh"]))["integrity"]
    listed, _, hashed = at(deployment, typed["hash.sh"]).rpartition("}")
    at(deployment, typed["verify.sh"])

    assert printed == f"sha384-{hashed.strip()}"
    assert json.loads(listed + "}")["scripts"][-1]["integrity"] == printed


def test_the_front_end_engineers_page_is_found_good(deployment: Deployment) -> None:
    """`check --page` has nothing to say about the page of the document."""
    page = blocks("front-end")["page.html"].replace(PROXY, deployment.url)
    facts = json.loads(at(deployment, "optout-proxy snippet --json"))
    token = at(deployment, "optout-proxy token mint --offer OFFER-1").strip()
    page = page.replace("sha384-…", facts["integrity"]).replace('token="…"', f'token="{token}"')
    (deployment.folder / "checkout.html").write_text(page)

    with shown(deployment.folder, deployment.page_port):
        said = at(deployment, f"optout-proxy check --page {SHOP}/checkout.html")

    assert f"has choice.js {__version__}" in said


@contextmanager
def shown(folder: Path, port: int) -> Iterator[None]:
    """Serve the files of *folder* at the shop's origin."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


def test_the_operator_sees_a_decline_arrive(tmp_path: Path) -> None:
    """From an empty folder, with the two commands that `init` prints, to the end within 10 s."""
    ports = {str(port): str(free_port()) for port in (8080, 8081, 9000)}
    typed = {name: moved(text, ports) for name, text in blocks("operator").items()}
    printed = moved(type_in(typed["init.sh"], tmp_path), ports)
    key = re.search(r"^ +(osk_live_\S+)$", printed, re.MULTILINE)
    assert key
    environ = {"SERVER_KEY": key[1]}
    told = [shlex.split(line) for line in printed.splitlines() if " optout-proxy s" in f" {line}"]
    binds = [f"127.0.0.1:{ports[port]}" for port in ("8080", "8081")]
    told[1] += [word for pair in zip(SERVE, binds, strict=True) for word in pair]
    public = {"OPTOUT_PUBLIC_URL": f"http://{binds[0]}", SETTLE: "0s"}  # nobody toggles here

    with running(told[0], tmp_path), running(told[1], tmp_path, **public) as serve:
        until(lambda: answers(f"http://{binds[0]}/healthz"), "the proxy")
        until(lambda: answers(f"http://127.0.0.1:{ports['9000']}/_sandbox/requests"), "sandbox")
        assert '"ready":true' in type_in(typed["ready.sh"], tmp_path).replace(" ", "")
        type_in(typed["decline.sh"], tmp_path, **environ)
        until(lambda: " delivered " in type_in(typed["list.sh"], tmp_path), "the delivery")
        serve.terminate()
        assert serve.wait(10) == 0


def moved(text: str, ports: dict[str, str]) -> str:
    """Return *text* with ports that are free here."""
    return re.sub("|".join(ports), lambda found: ports[found[0]], text)


def answers(url: str) -> bool:
    """Tell whether somebody answers there."""
    try:
        return requests.get(url, timeout=PATIENCE_S).ok
    except requests.ConnectionError:
        return False


@contextmanager
def running(
    command: list[str], folder: Path, **environ: str
) -> "Iterator[subprocess.Popen[bytes]]":
    """Run a printed command, with the variables that stand before it, until the end."""
    given = [word.split("=", 1) for word in command if re.match("[A-Z_]+=", word)]
    with (folder / "log").open("ab") as log:
        child = subprocess.Popen(
            command[len(given) :],
            cwd=folder,
            env={**os.environ, "PATH": PATH, **dict(given), **environ},
            stdout=log,
            stderr=log,
        )
    try:
        yield child
    finally:
        child.kill()
        child.wait()


def test_the_examples_of_the_calls_can_be_typed(deployment: Deployment) -> None:
    """Those of the API page that no other document runs."""
    token = deployment.session("OFFER-1")
    said = {name: [at(deployment, one, TOKEN=token) for one in TYPED[name]] for name in TYPED}

    assert json.loads(said["recordChoice"][0])["choice"] == "declined"
    assert json.loads(said["healthz"][0]) == {"healthy": True}
    assert "integrity" in said["scripts"][0]
    assert (deployment.folder / "choice.js").stat().st_size > 1_000
    assert json.loads((deployment.folder / "keys.json").read_text())["keys"]


def test_the_server_key_of_the_document_is_taken(deployment: Deployment) -> None:
    """docs/operating.md says how to make one; its hash is added to the settings."""
    text = (ROOT / "docs/operating.md").read_text("utf-8")
    (block,) = re.findall(r"^```sh\n(key=.*?)^```$", text, re.MULTILINE | re.DOTALL)
    key, hashed = type_in(block, deployment.folder).split()[:2]
    settings = deployment.config.read_text()
    deployment.config.write_text(
        settings.replace("server_key_hashes = [", f'server_key_hashes = ["sha256:{hashed}", ')
    )
    deployment.server_key = key

    until(lambda: deployment.say("OFFER-1").status_code == 202, "the new key to be in force")


def test_every_metric_that_a_document_names_is_there(deployment: Deployment) -> None:
    """After a delivery, a conflict, a dead letter, a refusal and a seal."""
    documents = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    text = "\n".join(page.read_text("utf-8") for page in documents)
    named = set(re.findall(r"`(proxy_[a-z_]+)(?:\{.*?\})?`", text))
    deployment.say("OFFER-1")
    until(lambda: deployment.offer("OFFER-1")["report"] == "delivered", "the delivery")
    deployment.say("OFFER-1", "accepted")
    deployment.fault("status", status=404)
    deployment.say("OFFER-2")
    until(lambda: deployment.offer("OFFER-2")["report"] == "dead", "the dead letter")
    deployment.proxy.stop()
    deployment.start_proxy()
    deployment.say("no offer")

    assert named
    until(lambda: named <= metrics(deployment), f"one of {named - metrics(deployment)}")


def metrics(deployment: Deployment) -> set[str]:
    """Return the names that the private listener tells."""
    told = requests.get(f"http://127.0.0.1:{deployment.admin_port}/metrics", timeout=PATIENCE_S)
    return set(re.findall(r"^(?:# TYPE )?(proxy_[a-z_]+)", told.text, re.MULTILINE))


@pytest.mark.parametrize("name", sorted(path.stem for path in START.glob("*.md")))
def test_what_is_not_typed_here_is_typed_elsewhere(name: str) -> None:
    """A block without a name is typed elsewhere: with another address, or in the README."""
    text = (START / f"{name}.md").read_text("utf-8")
    allowed = {"optout-proxy snippet", f"optout-proxy check --page {SHOP}/checkout"}
    allowed |= {block.strip() for block in BARE.findall((ROOT / "README.md").read_text("utf-8"))}

    assert {block.strip() for block in BARE.findall(text)} <= allowed
    assert blocks(name)
