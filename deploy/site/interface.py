"""The page that openapi.yaml makes: every call with its fields, answers, codes and an example."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from proxy.errors import CODES

ROOT = Path(__file__).resolve().parents[2]
URI, RAW = "reference/interface.md", "reference/openapi.yaml"
PROXY = "https://proxy.shop.example"
FORM = f"""curl -sS {PROXY}/v1/choices \\
  -H "Origin: https://shop.example" \\
  --data-urlencode "token=$TOKEN" \\
  -d choice=declined -d id=5f0c2a3e-7d41-4c57-9a53-1b6d2f6c8e09 \\
  -d seq=1767225600000 -d at=1767225600000"""
TYPED = {  # by operation; a test types them
    "script": [f"curl -sS -o choice.js {PROXY}/s/1.0.0/choice.js"],
    "scripts": [f"curl -sS {PROXY}/.well-known/choice-scripts.json"],
    "keys": [f"curl -sS -o keys.json {PROXY}/.well-known/choice-keys.json"],
    "healthz": [f"curl -sS {PROXY}/healthz"],
    "recordChoice": [FORM],
}
SHOWN = {  # blocks of docs/server-side.md, which a test runs as they stand
    "recordChoice": ["choice.sh"],
    "recordChoices": ["choices.jsonl", "batch.sh"],
    "createSession": ["session.sh"],
    "showOffer": ["offer.sh"],
}
BLOCK = r"^<!-- {}: {} -->\n(```\w+\n.*?^```)$"
Part = dict[str, Any]
_WHOLE = re.MULTILINE | re.DOTALL


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the page, and the file itself for who reads it by machine."""
    text = (ROOT / "openapi.yaml").read_text("utf-8")
    files.append(File.generated(config, RAW, content=text))
    files.append(File.generated(config, URI, content=page(yaml.safe_load(text))))
    return files


def page(interface: Part) -> str:
    """Return the page as Markdown."""
    return "\n\n".join(_Page(interface).lines()) + "\n"


class _Page:
    """One description, and the objects in it that have a table of their own."""

    def __init__(self, interface: Part) -> None:
        self._whole = interface
        self._schemas: dict[str, Part] = interface["components"]["schemas"]
        self._told: list[str] = []  # names of objects that a table has led to

    def lines(self) -> Iterator[str]:
        """Yield the blocks of the page."""
        yield "# Calls"
        yield f"Made from [openapi.yaml]({Path(RAW).name}), which is there to be read by machine."
        yield self._whole["info"]["description"]
        yield "## Who calls"
        yield self._whole["components"]["securitySchemes"]["serverKey"]["description"]
        for path, calls in self._whole["paths"].items():
            for method, call in calls.items():
                yield from self._call(method.upper(), path, call)
        yield "## Objects"
        for name in self._told:  # grows while it is read: an object may hold another one
            yield f"### {name}"
            yield from self._object(self._schemas[name])

    def _call(self, method: str, path: str, call: Part) -> Iterator[str]:
        yield f"## {method} {path}"
        yield f"{call['summary']}\n{call.get('description', '')}"
        yield _who(call["security"])
        if given := call.get("parameters"):
            yield "### Parameters" + _anchor(call, "parameters")
            rows = [
                (_code(one["name"]), one["in"], *self._field(one["schema"], needed=one["required"]))
                for one in given
            ]
            yield _table(("name", "in", "rule", "means"), rows)
        for kind, body in call.get("requestBody", {}).get("content", {}).items():
            yield f"### Body as `{kind}`" + _anchor(call, kind.rpartition("/")[2])
            yield from self._object(body["schema"])
        yield from self._answers(call)
        yield from _examples(call["operationId"])
        yield from self._codes(call)

    def _answers(self, call: Part) -> Iterator[str]:
        yield "### Answers" + _anchor(call, "answers")
        given = {status: self._found(one) for status, one in call["responses"].items()}
        rows = [
            (
                status,
                ", ".join(map(_code, one.get("headers", {}))),
                self._linked(_flat(one["description"])),
            )
            for status, one in given.items()
        ]
        yield _table(("status", "headers", "means"), rows)
        for status, one in given.items():
            for kind, body in one["content"].items() if status < "300" else ():
                yield f"The body of `{status}` is `{kind}`."
                yield from self._object(body["schema"])

    def _codes(self, call: Part) -> Iterator[str]:
        yield "### Refusals" + _anchor(call, "refusals")
        yield "What each means and how to mend it: [error codes](errors.md)."
        known = self._whole["x-problem-codes"]
        rows = [
            (_code(code), known[code]["status"], known[code]["x-retry"], CODES[code].title)
            for code in call["x-codes"]
        ]
        yield _table(("code", "status", "verdict", "title"), rows)

    def _object(self, schema: Part) -> Iterator[str]:
        """Yield what a body consists of: a table, if it is an object."""
        schema = self._found(schema)
        if text := schema.get("description"):
            yield self._linked(text)
        if "properties" not in schema:
            yield self._values(schema)
        if fields := schema.get("properties"):
            needed = schema.get("required", [])
            rows = [
                (_code(name), *self._field(one, needed=name in needed))
                for name, one in fields.items()
            ]
            yield _table(("field", "rule", "means"), rows)
        if "anyOf" in schema:
            groups = [" and ".join(map(_code, one["required"])) for one in schema["anyOf"]]
            yield f"At least one of {' and '.join(groups)} is there."
        for name, others in schema.get("dependentRequired", {}).items():
            yield f"{_code(name)} needs {' and '.join(map(_code, others))}."

    def _field(self, schema: Part, *, needed: bool) -> tuple[str, str]:
        """Return the rule of a field, and what it means."""
        name = schema.get("$ref", "").rpartition("/")[2]
        found = self._found(schema)
        for one in found.get("allOf", []):
            found = self._found(one) | found
        words = ["required"] if needed else []
        if "properties" in found or "additionalProperties" in found:
            words.append(self._led_to(name) if name else "object")
            return ", ".join(words), "" if name else _flat(found.get("description", ""))
        words += _rules(found)
        if "items" in found:
            inner = self._found(found["items"]).get("properties", {})
            words.append("each with " + ", ".join(map(_code, inner)))
        return ", ".join(words), _flat(found.get("description", ""))

    def _values(self, schema: Part) -> str:
        """Return what one value must be, or the names and values of an object that names none."""
        inner = schema.get("additionalProperties")
        if not inner:
            return f"It is: {', '.join(_rules(schema))}."
        names, most = schema["propertyNames"]["pattern"], schema["maxProperties"]
        return f"At most {most} names, {_code(names)}; each value: {', '.join(_rules(inner))}."

    def _linked(self, text: str) -> str:
        """Lead from the name of an object in *text* to its table."""

        def led(name: re.Match[str]) -> str:
            return self._led_to(name[1]) if name[1] in self._schemas else name[0]

        return re.sub(r"`([A-Z]\w+)`", led, text)

    def _led_to(self, name: str) -> str:
        if name not in self._told:
            self._told.append(name)
        return f"[{name}](#{name.lower()})"

    def _found(self, part: Part) -> Part:
        """Return what a reference names, or the part itself."""
        found = self._whole if "$ref" in part else part
        for name in part.get("$ref", "").split("/")[1:]:
            found = found[name]
        return found


def _rules(schema: Part) -> list[str]:
    """Return in words what a plain value must be."""
    kinds = schema.get("type", "text")
    words = [" or ".join([kinds] if isinstance(kinds, str) else kinds)]
    if "const" in schema:
        words = [_code(schema["const"])]
    if "enum" in schema:
        words = [" or ".join(map(_code, schema["enum"]))]
    if "format" in schema and "pattern" not in schema:
        words.append(f"as {schema['format']}")
    words += [_code(schema["pattern"])] if "pattern" in schema else []
    words += _bounds(schema, "minimum", "maximum")
    words += [f"{said} characters" for said in _bounds(schema, "minLength", "maxLength")]
    if "default" in schema:
        words.append(f"{_code(schema['default'])} by default")
    return words


def _bounds(schema: Part, least: str, most: str) -> list[str]:
    low, high = (f"{schema[key]:,}" if key in schema else "" for key in (least, most))
    if low and high:
        return [f"{low} to {high}"]
    return [f"at least {low}"] if low else [f"at most {high}"] if high else []


def _who(ways: list[Part]) -> str:
    """Return who may call."""
    if not ways:
        return "Anyone may call."
    if {} in ways:
        return "A page calls with a session token, a partner's server with its server key."
    return "A partner's server calls, with its server key."


def _examples(name: str) -> Iterator[str]:
    yield "### Example" + f" {{: #{name.lower()}-example }}"
    for command in TYPED.get(name, ()):
        yield f"```sh\n{command}\n```"
    written = (ROOT / "docs/server-side.md").read_text("utf-8")
    for block in SHOWN.get(name, ()):
        for kind in ("server-side", "answer"):
            if found := re.search(BLOCK.format(kind, re.escape(block)), written, _WHOLE):
                yield "It answers:" if kind == "answer" else _said_of(block)
                yield found[1]


def _said_of(block: str) -> str:
    return "From the server:" if block.endswith(".sh") else f"With `{block}`:"


def _anchor(call: Part, word: str) -> str:
    """Return an anchor that no other call has: the same headings stand under each of them."""
    return f" {{: #{call['operationId'].lower()}-{word} }}"


def _table(head: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def _code(value: object) -> str:
    """Return a value as code, as JSON and Markdown have it."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"``{text}``" if "`" in text else f"`{text}`"


def _flat(text: str) -> str:
    return " ".join(text.split())
