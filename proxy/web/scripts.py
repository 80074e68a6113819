"""The released snippet files, byte for byte, and the lists that prove them and our receipts."""

import base64
import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

from flask import Blueprint, Response, request

from proxy.errors import Problem
from proxy.receipts import Signer

_VERSION = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+(?:-[0-9A-Za-z.]+)?", re.ASCII)
_IMMUTABLE = {
    "Cache-Control": "public, max-age=31536000, immutable",
    "Access-Control-Allow-Origin": "*",
    "Cross-Origin-Resource-Policy": "cross-origin",
}
_LISTED = {"Cache-Control": "public, max-age=300"}


@dataclass(frozen=True, slots=True)
class Script:
    """One released version of the snippet."""

    version: str
    content: bytes

    @property
    def integrity(self) -> str:
        """The value of the script tag's attribute of that name."""
        return "sha384-" + base64.b64encode(hashlib.sha384(self.content).digest()).decode()


def released(static: Path) -> dict[str, Script]:
    """Return every released version of choice.js in the folder *static*, oldest name first."""
    found = sorted(static.glob("s/*/choice.js"))
    versions = {path.parent.name: path for path in found if _VERSION.fullmatch(path.parent.name)}
    return {version: Script(version, path.read_bytes()) for version, path in versions.items()}


def blueprint(scripts: dict[str, Script], signer: Signer) -> Blueprint:
    """Serve the files from memory: what is not in *scripts* has no address."""
    files = Blueprint("scripts", __name__)
    listed = json.dumps({"scripts": [_entry(script) for script in scripts.values()]}, indent=2)

    @files.get("/s/<version>/choice.js")
    def script(version: str) -> Response:
        if version not in scripts or request.environ.get("QUERY_STRING"):
            raise Problem("not_found")
        content = scripts[version].content
        return Response(content, 200, _IMMUTABLE, content_type="text/javascript; charset=utf-8")

    @files.get("/.well-known/choice-scripts.json")
    def hashes() -> Response:
        return Response(listed, 200, _LISTED, content_type="application/json")

    @files.get("/.well-known/choice-keys.json")
    def keys() -> Response:
        content = json.dumps(signer.public_keys())
        return Response(content, 200, _LISTED, content_type="application/json")

    return files


def _entry(script: Script) -> dict[str, str | int]:
    return {
        "version": script.version,
        "path": f"/s/{script.version}/choice.js",
        "integrity": script.integrity,
        "bytes": len(script.content),
    }
