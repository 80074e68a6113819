"""`optout-proxy demo`: everything at once in a temporary folder, the proofs first."""

import random
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType

import click

from proxy.demo import config, operator, proofs
from proxy.demo.children import ChildDied, Children
from proxy.demo.proofs import Desk, Proof
from proxy.demo.witnesses import SILENT, Neighbours, ask
from proxy.errors import ConfigurationError

READY_WITHIN = 20.0  # seconds
BREATH = 0.02  # seconds between two looks
WATCH = 0.5  # seconds between two looks at the children
NOT_HANDED_OUT = range(20_000, 32_000)  # Linux gives connections 32768 and up, others 49152

Mint = Callable[[str | None, str, str], str]  # offer, origin, upstream → session token


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the command line asked for."""

    port: int = 8000  # of the shop; 0 takes a free one
    check: bool = False  # end after the proofs
    tamper: str | None = None  # the insurer knows another secret: hmac or oauth


def run(wishes: Wishes) -> int:
    """Show the demo until Ctrl-C; return 0, or 1 if a decline did not come through.

    ConfigurationError if the shop's port is taken.
    """
    started = time.monotonic()
    signal.signal(signal.SIGTERM, _as_ctrl_c)
    try:
        with ExitStack() as stack:
            folder = stack.enter_context(TemporaryDirectory(prefix="optout-demo-"))
            listener = stack.enter_context(_listen(0 if wishes.check else wishes.port))
            children = stack.enter_context(Children(Path(folder)))
            plan = _plan(Path(folder), listener)
            _start(plan, children, wishes.tamper)
            mint = _mint(plan)
            _wait_ready(plan, children)
            proven = _prove(plan, mint, started)
            if not wishes.check:
                _open_shop(plan, children, mint, listener)
            return 0 if proven else 1
    except ChildDied as death:
        click.echo(str(death), err=True)
        return 1
    except KeyboardInterrupt:
        return 0


def _as_ctrl_c(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _listen(port: int) -> socket.socket:
    """Take the shop's port first: its number is in the configuration, as the page's origin."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((config.HOST, port))
    except OSError as error:
        listener.close()
        raise ConfigurationError(
            f"Port {port} can not be used ({error.strerror}); choose another one with --port, "
            "--port 0 takes a free one."
        ) from error
    return listener


def _plan(folder: Path, listener: socket.socket) -> config.Plan:
    free = _free_ports(3)
    return config.Plan(
        folder=folder,
        shop_port=listener.getsockname()[1],
        proxy_port=free[0],
        private_port=free[1],
        sandbox_port=free[2],
    )


def _free_ports(count: int) -> list[int]:
    """Return ports that nobody uses, and that no connection is given before a child listens."""
    ports: list[int] = []
    with ExitStack() as stack:  # all at once, so that no two are the same
        while len(ports) < count:
            port = random.choice(NOT_HANDED_OUT)
            with suppress(ConfigurationError):
                stack.enter_context(_listen(port))
                ports.append(port)
    return ports


def _start(plan: config.Plan, children: Children, tamper: str | None) -> None:
    config.write(plan)
    secrets = config.sandbox_environment(plan, tamper)
    public, private = (f"{config.HOST}:{port}" for port in (plan.proxy_port, plan.private_port))
    children.start("serve", "--config", str(plan.file), "--bind", public, "--admin-bind", private)
    children.start(
        *("sandbox", "--port", str(plan.sandbox_port)),
        environment=secrets,
        orphaned=signal.SIGKILL,  # it has nothing to finish
    )


def _mint(plan: config.Plan) -> Mint:
    """Return the ten lines that a shop's server needs."""
    from proxy.tokens import Keyring, SigningKey, decode_secret  # noqa: PLC0415 -- children start

    secret = decode_secret(plan.secrets.signing)
    key = SigningKey(kid=config.KID, partner=config.PARTNER, secret=secret, open_offers=True)
    keyring = Keyring([key], config.AUDIENCE)

    def mint(offer: str | None, origin: str, upstream: str) -> str:
        now = int(time.time())
        return keyring.mint(config.PARTNER, offer=offer, origin=origin, upstream=upstream, now=now)

    return mint


def _wait_ready(plan: config.Plan, children: Children) -> None:
    """Wait until both answer; ChildDied if one ends instead or takes too long."""
    until = time.monotonic() + READY_WITHIN
    for url in (f"{plan.sandbox}/_sandbox", f"{plan.proxy}/healthz", f"{plan.private}/readyz"):
        while not _answers(url):
            children.check()
            if time.monotonic() > until:
                raise ChildDied(f"{url} was not ready within {READY_WITHIN:g} s.")
            time.sleep(BREATH)


def _answers(url: str) -> bool:
    try:
        return ask("GET", url).status == HTTPStatus.OK
    except SILENT:
        return False


def _witnesses(plan: config.Plan) -> Neighbours:
    return Neighbours(proxy=plan.proxy, server_key=plan.secrets.server_key, sandbox=plan.sandbox)


def _prove(plan: config.Plan, mint: Mint, started: float) -> bool:
    """Print the proofs; return whether every decline came through."""
    desk = Desk(proxy=plan.proxy, origin=plan.origins[0], mint=mint, witnesses=_witnesses(plan))
    all_proofs = proofs.prove(desk)
    seconds = time.monotonic() - started
    click.echo(f"{proofs.table(all_proofs)}\n")
    for sentence in _faults(all_proofs):
        click.echo(sentence, err=True)
    proven = not _faults(all_proofs)
    if proven:
        click.echo(f"All {len(all_proofs)} declines verified by the insurer in {seconds:.1f} s.")
    return proven


def _faults(all_proofs: Sequence[Proof]) -> list[str]:
    return [f"{proof.said.api} failed: {proof.fault}." for proof in all_proofs if proof.fault]


def _open_shop(plan: config.Plan, children: Children, mint: Mint, listener: socket.socket) -> None:
    """Serve the shop until Ctrl-C; ChildDied if a child ends before."""
    from waitress.server import create_server  # noqa: PLC0415 -- not needed for the proofs

    from proxy.demo.shop import Script, Shop, create_shop  # noqa: PLC0415 -- the same

    newest = ask("GET", f"{plan.proxy}/.well-known/choice-scripts.json").body["scripts"][-1]
    script = Script(
        address=plan.proxy + newest["path"], integrity=newest["integrity"], origin=plan.proxy
    )
    shop = create_shop(
        Shop(
            origins=plan.origins,
            script=script,
            mint=mint,
            witnesses=_witnesses(plan),
            operator=operator.make(plan.file, f"{plan.private}/admin/"),
        )
    )
    server = create_server(shop, sockets=[listener], threads=8, ident=None)
    threading.Thread(target=server.run, daemon=True).start()
    click.echo(_addresses(plan))
    while True:
        children.check()
        time.sleep(WATCH)


def _addresses(plan: config.Plan) -> str:
    return f"""
  The shop      {plan.origins[0]}
  The dashboard {plan.private}/admin/
   to sign in   {plan.origins[0]}/operator
  The proxy     {plan.proxy}
  The insurer   {plan.sandbox}/_sandbox/requests

Decline an offer in the shop and see what travels. Ctrl-C ends it and removes its files."""
