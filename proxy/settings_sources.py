"""Where settings come from: one TOML file, and the environment over it. Knows no single setting."""

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from proxy.errors import ConfigurationError
from proxy.secret import Secret
from proxy.settings_tables import TEXTS

PREFIX = "OPTOUT_"
_SECRETS = ("secret", "api_key", "api_secret", "client_id", "client_secret", "webhook_secret")
_FILLED = ("name", "folder")
_TABLES = ("partners", "upstreams")  # their keys are names, which have a case of their own
# Kubernetes puts such variables into every container that can see a service of our name:
# https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
_OF_KUBERNETES = re.compile(
    r"(?:_|\A)(?:SERVICE_HOST|SERVICE_PORT\w*|PORT|PORT_\d+_(?:TCP|UDP)\w*)\Z"
)
_OF_THE_COMMAND = ("CONFIG",)

Data = dict[str, Any]


class _Source(PydanticBaseSettingsSource):
    """Data that was read before pydantic asks for it."""

    data: Data

    def get_field_value(
        self,
        field: FieldInfo,  # noqa: ARG002  # pydantic-settings' signature
        field_name: str,
    ) -> tuple[Any, str, bool]:
        """Return one value; pydantic asks for all of them at once instead."""
        return self.data.get(field_name), field_name, False

    def __call__(self) -> Data:
        return self.data


class FileSource(_Source):
    """One TOML file, or nothing."""

    def __init__(self, model: type[BaseSettings], *, path: Path | None, folder: Path) -> None:
        super().__init__(model)
        self.data = _settled(_parsed(path), folder, path.name) if path else {}


class EnvironmentSource(_Source):
    """Variables such as OPTOUT_PARTNERS__ACME__LATE, over what the file says."""

    def __init__(
        self,
        model: type[BaseSettings],
        *,
        environ: Mapping[str, str],
        file: FileSource,
        folder: Path,
    ) -> None:
        super().__init__(model)
        self.places: dict[tuple[str | int, ...], str] = {}
        given: Data = {}
        for variable in sorted(environ, key=len):
            if _is_ours(variable) and environ[variable]:
                self._put(given, file.data, variable, environ[variable])
        self.data = _over(_settled(given, folder, "The environment"), file.data)

    def _put(self, given: Data, known: Data, variable: str, text: str) -> None:
        """Write *text* to the place that *variable* names."""
        place: list[str] = []
        for part in variable.removeprefix(PREFIX).split("__"):
            is_name = len(place) in (1, 3) and place[-1] in _TABLES
            place.append(_name(part, given, known, place) if is_name else part.lower())
        table = given
        for part in place[:-1]:
            table = table.setdefault(part, {})
            if not isinstance(table, dict):
                raise ConfigurationError(f"{variable}: another variable gives this whole table.")
        table[place[-1]] = _value(variable, place[-1], text)
        key = tuple(int(part) if part.isdecimal() else part for part in place)
        self.places[key] = variable
        self.places[(*key[:-1], str(key[-1]).removesuffix("_file"))] = variable


def _is_ours(variable: str) -> bool:
    if not variable.startswith(PREFIX):
        return False
    rest = variable.removeprefix(PREFIX)
    return rest not in _OF_THE_COMMAND and _OF_KUBERNETES.search(rest) is None


def _name(part: str, given: Data, known: Data, place: list[str]) -> str:
    """Return the name that *part* means: one that is there already in another case, or *part*.

    A shell can not export a variable with `-` in its name, so `_` stands for it too.
    """
    names = [*_at(known, place), *_at(given, place)]
    for fold in (str.casefold, lambda name: name.casefold().replace("-", "_")):
        for name in names:
            if fold(name) == fold(part):
                return name
    return part


def _at(data: object, place: list[str]) -> Data:
    for part in place:
        data = data.get(part) if isinstance(data, dict) else None
    return data if isinstance(data, dict) else {}


def _value(variable: str, key: str, text: str) -> object:
    """Return what *text* says: a list or a table as JSON, anything else as it stands."""
    if key in _SECRETS or text[0] not in "[{":
        return text
    try:
        value: object = json.loads(text)
    except ValueError:
        raise ConfigurationError(f"{variable}: begins like JSON and is none; mend it.") from None
    return value


def _parsed(path: Path) -> Data:
    try:
        return tomllib.loads(path.read_bytes().decode())
    except FileNotFoundError:
        raise ConfigurationError(
            f"There is no configuration file {path}; `optout-proxy init` writes one."
        ) from None
    except OSError as error:
        reason = (error.strerror or "unknown reason").lower()
        raise ConfigurationError(f"{path} can not be read ({reason}).") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path} is not UTF-8 text; save it as such.") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path} is not TOML: {error}.") from None


def _settled(data: Data, folder: Path, source: str) -> Data:
    """Return *data* with its secrets, and the files that hold them, as Secret."""
    settled: Data = {}
    for key, value in data.items():
        if key in _FILLED and not isinstance(value, dict):
            raise ConfigurationError(
                f"{source}: `{key}` is not a setting; it follows from where the table stands."
            )
        name, fit = _settled_value(key, value, folder, source)
        if name in settled:
            raise ConfigurationError(f"{source}: give `{name}` or `{name}_file`, not both.")
        settled[name] = fit
    return settled


def _settled_value(key: str, value: object, folder: Path, source: str) -> tuple[str, object]:
    if isinstance(value, dict):
        return key, _settled(value, folder, source)
    if isinstance(value, list):
        return key, [
            _settled(each, folder, source) if isinstance(each, dict) else each for each in value
        ]
    name = key.removesuffix("_file")
    if name not in (*_SECRETS, *TEXTS):
        return key, value
    if not isinstance(value, str) or not value:
        raise ConfigurationError(f"{source}: `{key}` must be text in quotes.")
    if name == key:
        return key, Secret(value) if key in _SECRETS else value
    secret = Secret(path=folder / value)
    return name, secret if name in _SECRETS else secret.read()


def _over(given: Data, known: object) -> Data:
    """Return *given* with `{"0": …}` turned into a list wherever *known* has one, or may have."""
    under = known if isinstance(known, dict) else {}
    return {key: _over_value(value, under.get(key)) for key, value in given.items()}


def _over_value(given: object, known: object) -> object:
    if not isinstance(given, dict):
        return given
    if not given or not all(key.isdecimal() for key in given) or isinstance(known, dict):
        return _over(given, known)
    items: list[Any] = list(known) if isinstance(known, list) else []
    for position, value in sorted(given.items(), key=lambda item: int(item[0])):
        number = min(int(position), len(items))
        old = items[number : number + 1]
        both = isinstance(value, dict) and old and isinstance(old[0], dict)
        items[number : number + 1] = [{**old[0], **value} if both else value]
    return items
