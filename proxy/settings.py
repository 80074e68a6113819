"""The settings: one frozen value, read from a TOML file and the environment, checked whole.

Opens no secret file of an upstream: a Secret is read by whoever needs it, when it needs it.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from proxy import settings_fields as fields
from proxy.errors import ConfigurationError
from proxy.secret import Secret
from proxy.settings_refusals import sentences
from proxy.settings_sources import EnvironmentSource, FileSource
from proxy.settings_tables import Table, named, nearest_of, only_known, secrets_in, table_fault
from proxy.upstreams import APIS, Api

DEADLINE = timedelta(seconds=20)  # in all, for one attempt upstream
SHORTEST_LEASE = DEADLINE + timedelta(seconds=5)
LONGEST_LEASE = timedelta(hours=1)
TEST_RATE = 2.0  # requests per second that upstream grants to a test key
MOST_KEYS = 2  # of a partner, alive at once: the old one and the new one

Span = Annotated[fields.Duration, AfterValidator(fields.between("0s", "90d"))]
Patience = Annotated[fields.Duration, AfterValidator(fields.between("0s", "30d"))]
Retention = Annotated[fields.Duration, AfterValidator(fields.between("1d", "36500d"))]
Wait = Annotated[fields.Duration, AfterValidator(fields.between("1ms", "90d"))]


class SigningKeySetting(Table):
    """One key that a partner's server signs session tokens with."""

    kid: fields.Kid
    secret: Secret


class HmacSetting(Table):
    """What signs requests to XCover."""

    api_key: Secret
    api_secret: Secret
    algorithm: Literal["hmac-sha256", "hmac-sha384", "hmac-sha512"] = "hmac-sha512"
    headers: Literal["date", "(request-target) date"] = "date"


class OAuthSetting(Table):
    """What buys access tokens from XCover Elements."""

    client_id: Secret
    client_secret: Secret


def _of_api(name: str) -> Callable[[dict[str, Any]], Any]:
    """Return what finds the default of a setting in the row of the API."""
    return lambda given: getattr(APIS.get(given["api"], _CUSTOM), name)


_CUSTOM = Api(
    name="custom",
    path="",
    auth="hmac",
    body="empty",
    success=frozenset({200, 201, 202, 204}),
    base_url="",
)


class UpstreamSetting(Table):
    """One API of one insurer, as a partner uses it."""

    name: str  # the last word of the table's header
    api: str
    partner_code: fields.PartnerCode
    test: bool = False  # a test key
    base_url: fields.BaseUrl = Field(default_factory=_of_api("base_url"))
    report_on: Literal["decline", "purchase"] = Field(default_factory=_of_api("report_on"))
    rate_per_second: fields.Rate = Field(  # 0: no pace
        default_factory=_of_api("rate"), validate_default=True
    )
    settle: Span = timedelta(seconds=5)
    hold: Wait = timedelta(hours=24)
    unanswered: Literal["ignore", "declined"] = "ignore"
    unanswered_after: Wait = timedelta(hours=24)
    hmac: HmacSetting | None = None
    oauth: OAuthSetting | None = None
    method: Literal["POST", "PUT", "PATCH"] | None = None  # from here on for api = "custom"
    path: fields.PathTemplate | None = None
    auth: Literal["hmac", "oauth"] | None = None
    body: Literal["empty", "metadata", "customer", "customer_dob"] | None = None
    success: fields.Statuses | None = None

    @field_validator("api")
    @classmethod
    def _known(cls, api: str) -> str:
        if api in APIS or api == _CUSTOM.name:
            return api
        nearest = nearest_of(api, [*APIS, _CUSTOM.name])
        raise ValueError(f"is `{api}`, which is no API; the nearest one is `{nearest}`")

    @field_validator("rate_per_second")
    @classmethod
    def _as_a_test(cls, rate: float, info: ValidationInfo) -> float:
        return min(rate, TEST_RATE) if info.data.get("test") else rate

    @model_validator(mode="after")
    def _complete(self) -> Self:
        """Hold the table to what its API needs: no part missing, none without a purpose."""
        if self.api == _CUSTOM.name:
            needed = {"base_url": self.base_url, "path": self.path, "auth": self.auth}
            if missing := [name for name, value in needed.items() if not value]:
                raise table_fault(f'has `api = "custom"` and needs `{missing[0]}` with it')
        elif given := [name for name in _FOR_CUSTOM if getattr(self, name) is not None]:
            raise table_fault(f'has `{given[0]}`, which is only for `api = "custom"`; remove it')
        _hold_to_auth(self)
        return self

    @property
    def definition(self) -> Api:
        """What upstream calls look like: a row of the known APIs, or the one written here."""
        if self.api != _CUSTOM.name:
            return APIS[self.api]
        return replace(
            _CUSTOM,
            method=self.method or _CUSTOM.method,
            path=self.path or "",
            auth=self.auth or _CUSTOM.auth,
            body=self.body or _CUSTOM.body,
            success=self.success or _CUSTOM.success,
            report_on=self.report_on,
            rate=self.rate_per_second,
            base_url=self.base_url,
        )


_FOR_CUSTOM = ("method", "path", "auth", "body", "success")
_AUTH_NEEDS = {
    "hmac": 'hmac = { api_key_file = "…", api_secret_file = "…" }',
    "oauth": 'oauth = { client_id_file = "…", client_secret_file = "…" }',
}


def _hold_to_auth(upstream: UpstreamSetting) -> None:
    needed = upstream.definition.auth
    other = "oauth" if needed == "hmac" else "hmac"
    if getattr(upstream, needed) is None:
        raise table_fault(f"needs its credentials: add `{_AUTH_NEEDS[needed]}`")
    if getattr(upstream, other) is not None:
        raise table_fault(f"has `{other}`, which `{upstream.api}` does not take; remove it")


class PartnerSetting(Table):
    """One shop: where its pages live, what proves them, and where its declines go."""

    name: str  # the last word of the table's header; tokens carry it as `p`
    origins: fields.Origins = ()
    signing_keys: tuple[SigningKeySetting, ...] = ()  # oldest first; the last one signs
    server_key_hashes: fields.Hashes = ()
    open_offers: bool = False  # a token may leave the offer to the page
    customer: bool = False  # personal data may pass
    late: Patience = timedelta(hours=24)
    retention: Retention = timedelta(days=730)
    disabled: bool = False
    upstreams: dict[str, UpstreamSetting]

    @field_validator("upstreams", mode="before")
    @classmethod
    def _named(cls, tables: object) -> object:
        return named(tables)

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if not self.upstreams:
            raise table_fault(f"has no upstream; add [partners.{self.name}.upstreams.NAME]")
        if len(self.signing_keys) > MOST_KEYS:
            raise table_fault("has more than two signing keys; take the oldest away")
        return self

    def upstream(self, name: str | None) -> UpstreamSetting:
        """Return the upstream *name*, or the only one for None; raise KeyError if there is none."""
        if name is None and len(self.upstreams) == 1:
            return next(iter(self.upstreams.values()))
        return self.upstreams[name or ""]


class LimitsSetting(Table):
    """How much may come in; "off" for no limit."""

    token: fields.Limit = "30/minute"  # noqa: S105  # a limit
    prefix: fields.Limit = "1200/minute"  # of the network: /24, or /48 of IPv6
    partner: fields.Limit = "2000/second"


class AlertsSetting(Table):
    """Whom to tell."""

    webhook: fields.Webhook | None = Field(default=None, repr=False)  # its path may be a secret


class OidcSetting(Table):
    """Who vouches for users of the dashboard."""

    issuer: fields.BaseUrl
    client_id: Secret
    client_secret: Secret


class AdminSetting(Table):
    """The dashboard."""

    oidc: OidcSetting | None = None


def _long_enough(lease: timedelta) -> timedelta:
    if lease < SHORTEST_LEASE:
        raise ValueError('must be at least "25s": one attempt may take 20 s, and 5 s are for us')
    if lease > LONGEST_LEASE:
        raise ValueError('must be at most "1h": so long would a row of a dead worker wait')
    return lease


class Settings(BaseSettings):
    """Everything that one deployment is told, checked; spans are timedelta, paths absolute."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", validate_default=False)

    folder: Path = Field(default_factory=Path.cwd)  # what relative paths are relative to
    database: fields.DatabaseUrl = Field(
        default_factory=lambda given: f"sqlite:///{given['folder']}/optout.db", repr=False
    )
    audience: fields.Audience
    public_url: fields.Address
    audit_key_file: Path = Field(default_factory=lambda given: given["folder"] / "secrets/audit")
    signing_key_file: Path = Field(
        default_factory=lambda given: given["folder"] / "secrets/signing.pem"
    )
    partners: dict[str, PartnerSetting] = Field(default_factory=dict)
    trusted_proxies: fields.Networks = ()
    admin_networks: fields.Networks = ()
    redis_url: fields.RedisUrl | None = Field(default=None, repr=False)
    limits: LimitsSetting = LimitsSetting()
    alerts: AlertsSetting = AlertsSetting()
    admin: AdminSetting = AdminSetting()
    customer_keys: Path | None = None  # the folder of the weekly keys
    lease: Annotated[fields.Duration, AfterValidator(_long_enough)] = timedelta(seconds=30)
    threads: Annotated[fields.Whole, Field(ge=1, le=512)] = 32
    senders: Annotated[fields.Whole, Field(ge=1, le=256)] = 32  # 10/s at 1.3 s each, and some
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003  # pydantic-settings passes all by name
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take nothing from the process by itself: `load` is handed the environment."""
        return (init_settings,)

    @model_validator(mode="before")
    @classmethod
    def _only_known(cls, given: object) -> object:
        return only_known(cls, given)

    @field_validator("partners", mode="before")
    @classmethod
    def _named(cls, tables: object) -> object:
        return named(tables)

    @field_validator("audit_key_file", "signing_key_file", "customer_keys")
    @classmethod
    def _beside(cls, path: Path | None, info: ValidationInfo) -> Path | None:
        return None if path is None else info.data["folder"] / path

    @field_validator("database")
    @classmethod
    def _on_disk(cls, url: str, info: ValidationInfo) -> str:
        """Return *url* with the absolute path of its file."""
        return fields.beside(url, info.data["folder"])

    @field_validator("partners")
    @classmethod
    def _each_once(cls, partners: dict[str, PartnerSetting]) -> dict[str, PartnerSetting]:
        keys = [key.kid for partner in partners.values() for key in partner.signing_keys]
        if twin := fields.twin(key.casefold() for key in keys):
            raise ValueError(f"use the kid `{twin}` twice; each key needs a name of its own")
        hashes = [each for partner in partners.values() for each in set(partner.server_key_hashes)]
        if fields.twin(hashes):
            raise ValueError("share a server key, so that nobody could tell them apart")
        return partners

    @property
    def origins(self) -> frozenset[str]:
        """Every origin of every partner."""
        return frozenset(origin for partner in self.partners.values() for origin in partner.origins)

    def secrets(self) -> Iterator[tuple[str, Secret]]:
        """Yield every secret with the place it is written at; none is opened."""
        return secrets_in(self)


def load(path: Path | None, environ: Mapping[str, str]) -> Settings:
    """Return the settings in *path* as *environ* (`OPTOUT_…`) overrides them.

    Raise ConfigurationError, one sentence on a line for each fault, each saying how to mend it.
    """
    folder = (path.parent if path else Path()).absolute()
    file = FileSource(Settings, path=path, folder=folder)
    variables = EnvironmentSource(Settings, environ=environ, file=file, folder=folder)
    given = InitSettingsSource(Settings, {"folder": folder})
    try:
        return Settings(_build_sources=((given, variables, file), {}))
    except ValidationError as error:
        name = path.name if path else "The configuration"
        raise ConfigurationError("\n".join(sentences(error, name, variables.places))) from None
