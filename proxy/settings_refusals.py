"""What pydantic found wrong, as sentences for people that say how to mend it. Shows no value."""

from collections.abc import Iterator, Mapping
from typing import TypeAlias

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from proxy.secret import without_secrets

Place: TypeAlias = tuple[str | int, ...]

_SENTENCES = {
    "missing": "is missing; add it",
    "string_type": "must be text in quotes",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "finite_number": "must be a number",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
    "tuple_type": "must be a list in brackets",
    "frozen_set_type": "must be a list in brackets",
    "dict_type": "must be a table",
    "model_type": "must be a table",
    "path_type": "must be a path in quotes",
    "time_delta_type": 'must be a duration such as "5s"',
}


def sentences(error: ValidationError, source: str, places: Mapping[Place, str]) -> Iterator[str]:
    """Yield a sentence for each fault: where it was written, where it stands, how to mend it.

    *source* is the file's name; *places* says which environment variable set which place.
    """
    for fault in error.errors(include_url=False, include_input=False):
        if fault["type"] != "default_factory_not_called":  # it follows from another fault
            text = without_secrets(_text(fault))  # a value that is shown may be in a wrong place
            yield f"{_written(fault, source, places)}: {_subject(fault)} {text}."


def _written(fault: ErrorDetails, source: str, places: Mapping[Place, str]) -> str:
    key = fault.get("ctx", {}).get("key")
    place = (*fault["loc"], key) if key else fault["loc"]
    set_by = [known for known in places if place[: len(known)] == known]
    return places[max(set_by, key=len)] if set_by else source


def _subject(fault: ErrorDetails) -> str:
    """Return "`key` in [table]", or the table alone where it is the table that is at fault."""
    place = list(fault["loc"])
    if fault["type"] == "table":
        return f"[{_dotted(place)}]" if place else "the top table"
    while place and isinstance(place[-1], int):
        place.pop()
    table, key = _dotted(place[:-1]), place[-1] if place else "the file"
    return f"`{key}` in [{table}]" if table else f"`{key}`"


def _dotted(place: list[str | int]) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return text.removeprefix(".")


def _text(fault: ErrorDetails) -> str:
    context = fault.get("ctx", {})
    if fault["type"] == "value_error":
        return str(context["error"])
    if fault["type"] in _SENTENCES:
        return _SENTENCES[fault["type"]].format(**context)
    return fault["msg"][:1].lower() + fault["msg"][1:]
