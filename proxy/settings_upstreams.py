"""How one partner's upstream is reached: which API, when, how fast, with which credentials."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from proxy import settings_fields as fields
from proxy.secret import Secret
from proxy.settings_tables import Table, nearest_of, table_fault
from proxy.upstreams import APIS, Api

TEST_RATE = 2.0  # requests per second that upstream grants to a test key

Span = Annotated[fields.Duration, AfterValidator(fields.between("0s", "90d"))]
Wait = Annotated[fields.Duration, AfterValidator(fields.between("1ms", "90d"))]


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
