"""The settings: one frozen value, read from a TOML file and the environment, checked whole.

Opens no secret file of an upstream: a Secret is read by whoever needs it, when it needs it.
"""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, Self

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
from proxy.settings_tables import Table, named, only_known, secrets_in, table_fault
from proxy.settings_upstreams import UpstreamSetting

DEADLINE = timedelta(seconds=20)  # in all, for one attempt upstream
SHORTEST_LEASE = DEADLINE + timedelta(seconds=5)
LONGEST_LEASE = timedelta(hours=1)
MOST_KEYS = 2  # of a partner, alive at once: the old one and the new one

Patience = Annotated[fields.Duration, AfterValidator(fields.between("0s", "30d"))]
Retention = Annotated[fields.Duration, AfterValidator(fields.between("1d", "36500d"))]


class SigningKeySetting(Table):
    """One key that a partner's server signs session tokens with."""

    kid: fields.Kid
    secret: Secret


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
    webhook_secret: Secret | None = None  # signs what is posted there

    @model_validator(mode="after")
    def _signed(self) -> Self:
        if self.webhook and self.webhook_secret is None:
            raise table_fault("has a webhook and nothing to sign with; add webhook_secret_file")
        return self


class OidcSetting(Table):
    """Who vouches for users of the dashboard, and what they may do there."""

    issuer: fields.BaseUrl
    client_id: Secret
    client_secret: Secret
    operators: fields.Words = ()  # groups, or names of users
    viewers: fields.Words = ()
    name_claim: fields.Word = "email"  # what a user is called here
    groups_claim: fields.Word = "groups"
    scopes: fields.Words = ("openid", "email", "profile")


class AdminSetting(Table):
    """The dashboard."""

    url: fields.Address | None = None  # where it is reached; its path is always /admin/
    oidc: OidcSetting | None = None

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if self.oidc and self.url is None:
            raise table_fault("has `oidc` and nowhere to come back to; add `url`")
        return self


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
        settings_cls: type[BaseSettings],  # noqa: ARG003  # pydantic-settings names them all
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # the same
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # the same
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # the same
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
