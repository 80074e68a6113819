"""Answers that a fault replaces or changes: right HTTP, wrong content."""

import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from types import MappingProxyType

from proxy.sandbox import answers
from proxy.sandbox.faults import Rule
from proxy.sandbox.options import SandboxOptions
from proxy.sandbox.routes import Call
from proxy.sandbox.wire import Answer, Headers, Request, json_answer

_MEGABYTE = 1024 * 1024
_UNSAFE: Headers = (
    ("Set-Cookie", "upstream_session=stolen; Path=/"),
    ("Access-Control-Allow-Origin", "*"),
    ("Access-Control-Allow-Credentials", "true"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What a fault may need to know of the call that it spoils."""

    rule: Rule
    plain: Answer  # the answer without the fault
    call: Call | None
    request: Request
    options: SandboxOptions
    now: int  # ms


def _status(scene: Scene) -> Answer:
    params = scene.rule.params
    answer = answers.refusal(scene.call, params["status"])
    if params["status"] == HTTPStatus.NO_CONTENT:
        answer = Answer(HTTPStatus.NO_CONTENT)
    if params["body"] is not None:
        answer = replace(answer, body=_bytes(params["body"]))
    headers = {str(name): str(value) for name, value in params["headers"].items()}
    if params["retry_after"] is not None:
        headers["Retry-After"] = str(params["retry_after"])
    if params["date_in"] is not None:
        headers["Retry-After"] = formatdate(scene.now / 1000 + params["date_in"], usegmt=True)
    return answer.extended(*headers.items())


def _bytes(body: object) -> bytes:
    return (body if isinstance(body, str) else json.dumps(body)).encode()


def _redirect(scene: Scene) -> Answer:
    params = scene.rule.params
    return Answer(params["status"], (("Location", params["location"]),))


def _html(scene: Scene) -> Answer:
    page = b"<!DOCTYPE html><title>Just a moment...</title><h1>Checking your browser</h1>"
    return Answer(scene.rule.params["status"], (("Content-Type", "text/html"),), page)


def _bad_json(scene: Scene) -> Answer:
    headers = (("Content-Type", "application/json"),)
    return Answer(scene.rule.params["status"], headers, b'{"data": {"id": ')


def _json_fields(scene: Scene) -> Answer:
    params = scene.rule.params
    if not scene.plain.body:
        return scene.plain
    content = json.loads(scene.plain.body)
    kept = {name: value for name, value in content.items() if name not in params["drop"]}
    changed = json_answer(scene.plain.status, {**kept, **params["set"]})
    return replace(scene.plain, body=changed.body)


def _echo_secrets(scene: Scene) -> Answer:
    options = scene.options
    echoed = [options.api_key, options.api_secret, options.client_id, options.client_secret]
    echoed.append(scene.request.headers.get("authorization", ""))
    text = f"could not authenticate {' '.join(echoed)} {scene.request.body.decode('latin-1')}"
    return answers.refusal(scene.call, scene.rule.params["status"], text)


def _inject_headers(scene: Scene) -> Answer:
    headers = scene.rule.params["headers"] or dict(_UNSAFE)
    return scene.plain.extended(*((str(name), str(value)) for name, value in headers.items()))


@lru_cache(maxsize=2)
def _bomb(megabytes: int) -> bytes:
    press = zlib.compressobj(level=1, wbits=31)  # 31: with gzip's header
    parts = [press.compress(bytes(_MEGABYTE)) for _ in range(megabytes)]
    return b"".join([*parts, press.flush()])


def _gzip_bomb(scene: Scene) -> Answer:
    headers = (("Content-Type", "application/json"), ("Content-Encoding", "gzip"))
    return Answer(200, headers, _bomb(scene.rule.params["megabytes"]))


def _big_header(scene: Scene) -> Answer:
    params = scene.rule.params
    filler = "x" * params["bytes"]
    return scene.plain.extended(*((f"X-Filler-{n}", filler) for n in range(params["count"])))


SPOILED: Mapping[str, Callable[[Scene], Answer]] = MappingProxyType(
    {
        "status": _status,
        "redirect": _redirect,
        "html": _html,
        "bad_json": _bad_json,
        "json_fields": _json_fields,
        "echo_secrets": _echo_secrets,
        "inject_headers": _inject_headers,
        "gzip_bomb": _gzip_bomb,
        "big_header": _big_header,
    }
)


def spoil(scene: Scene) -> Answer:
    """Return the answer that the fault of *scene* makes of the plain one."""
    change = SPOILED.get(scene.rule.fault)
    return scene.plain if change is None else change(scene)
