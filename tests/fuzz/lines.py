"""A batch of fuzzed lines, sent to the public listener on a register in memory."""

import atexit
import json
import tempfile
from functools import lru_cache
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from proxy.errors import CODES
from proxy.receipts import Signer
from proxy.upstreams import is_id
from proxy.web.public import create_public
from tests.web.deployment import Clock, Deployment, Files, a_configuration, code_of
from tests.web.memory import MemoryIntake

RECORDED = {"id", "offer", "choice", "report", "replayed", "superseded", "conflict", "receipt"}
WHOLE = {"invalid_json", "body_too_large"}  # what may be said of a batch as a whole


@lru_cache(maxsize=1)
def deployment() -> Deployment:
    """Return the public listener, for as long as the process lives."""
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    files = Files(Path(folder.name))
    files.write()
    configuration, clock, intake = a_configuration(files), Clock(), MemoryIntake()
    signer = Signer(Ed25519PrivateKey.generate(), "optout-proxy:test")
    public = create_public(configuration, intake, signer, clock)
    return Deployment(files, configuration, intake, clock, public.test_client())


def read_lines(data: bytes) -> None:
    """Send *data* as a batch; raise unless the answer is one line for each, or one problem."""
    proxy = deployment()
    vars(proxy.intake).update(vars(MemoryIntake()))  # nothing of the last batch
    answer = proxy.server(
        data or b"",
        partner="OPEN",
        path="/v1/choices/batch",
        headers={"Content-Type": "application/x-ndjson"},
    )
    if answer.status_code != 200:
        assert code_of(answer) in WHOLE
        return
    told = data.removesuffix(b"\n").split(b"\n")
    answered = [json.loads(line) for line in answer.data.decode().splitlines()]
    assert len(answered) == len(told)
    for said in answered:
        if "code" in said:
            assert CODES[said["code"]].status < 500
        else:
            assert said.keys() == RECORDED
    assert all(is_id(message.offer) for message in proxy.intake.messages)
