"""A table of the settings: it knows its keys, the nearest of them, and where its secrets are."""

import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import get_args

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError

from proxy.secret import Secret

_NAME = re.compile(r"\A(?=.{1,64}\Z)[A-Za-z0-9]+(?:[_-][A-Za-z0-9]+)*\Z")
_FILLED = ("name", "folder")  # known from where the table stands, not from what it says
TEXTS = ("database", "redis_url", "webhook")  # may hold a password; read while loading


class Table(BaseModel):
    """A part of the settings that refuses what it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _only_known(cls, given: object) -> object:
        return only_known(cls, given)


def table_fault(sentence: str, key: str = "") -> PydanticCustomError:
    """Return an error that reads on from the table's name; *key* is the one at fault, if any."""
    return PydanticCustomError("table", "{sentence}", {"sentence": sentence, "key": key})


def nearest_of(word: str, words: Iterable[str]) -> str:
    """Return the one of *words* that *word* was most likely meant to be."""
    return get_close_matches(word, list(words), n=1, cutoff=0)[0]


def only_known(model: type[BaseModel], given: object) -> object:
    """Return *given* if it is a table and *model* knows each key of it."""
    if isinstance(given, BaseModel):
        return given
    if not isinstance(given, dict):
        raise table_fault("must be a table")
    for key in given:
        if key not in model.model_fields:
            raise unknown(key, model)
    return given


def unknown(key: str, model: type[BaseModel]) -> PydanticCustomError:
    """Return the error for a *key* that *model* does not have, with the nearest that it has."""
    nearest = nearest_of(key, _keys_of(model))
    return table_fault(f"has no setting `{key}`; the nearest one is `{nearest}`", key)


def named(tables: object) -> object:
    """Give each table the name that it stands under; refuse names that could be mistaken."""
    if not isinstance(tables, dict):
        raise table_fault("must be a table of tables")
    seen: dict[str, str] = {}
    for name in map(check_name, tables):
        if twin := seen.get(name.casefold()):
            raise table_fault(f"has `{twin}` and `{name}`, which differ only in case; rename one")
        seen[name.casefold()] = name
    return {
        name: {**table, "name": name} if isinstance(table, dict) else table
        for name, table in tables.items()
    }


def check_name(name: str) -> str:
    """Refuse a name that a token, or an environment variable, could not carry."""
    if _NAME.match(name) is None:
        raise table_fault(
            f"has the name `{name}`; take up to 64 letters and digits, with single `-` or `_`"
            " between them"
        )
    return name


def secrets_in(table: BaseModel, place: str = "") -> Iterator[tuple[str, Secret]]:
    """Yield each secret in *table* and below, with the dotted name of its place."""
    for name in type(table).model_fields:
        yield from _secrets_at(getattr(table, name), f"{place}.{name}" if place else name)


def _secrets_at(value: object, place: str) -> Iterator[tuple[str, Secret]]:
    if isinstance(value, Secret):
        yield place, value
    elif isinstance(value, BaseModel):
        yield from secrets_in(value, place)
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from _secrets_at(each, f"{place}.{key}")
    elif isinstance(value, tuple):
        for position, each in enumerate(value):
            yield from _secrets_at(each, f"{place}[{position}]")


def _keys_of(model: type[BaseModel]) -> Iterator[str]:
    """Yield every key that may be written in a table of *model*."""
    for name, field in model.model_fields.items():
        if name in _FILLED:
            continue
        yield name
        if name in TEXTS or Secret in (field.annotation, *get_args(field.annotation)):
            yield f"{name}_file"
