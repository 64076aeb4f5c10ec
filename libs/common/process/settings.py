"""Settings from environment variables, checked once at start, with every violation reported at once."""

import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal, TypeVar

from pydantic import (
    Field,
    PostgresDsn,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError
from pydantic_settings import BaseSettings, SettingsConfigDict

from libs.common.process import naming
from libs.common.process.declared import Setting
from libs.common.process.values import Address, CommaList, Unit, is_loopback

_SCHEME = re.compile(r"^(?:[a-z]+://[^/]*/|dns:|ipv4:|ipv6:)")
_OUT_OF_RANGE = {"greater_than", "greater_than_equal", "less_than", "less_than_equal"}
# More of a value is not quoted.
_QUOTED = 60


class Settings(BaseSettings):
    """What is read from the environment: each field is declared with its type, default, range, unit and meaning.

    The variable of a field is its name in capitals, with the prefix of the class in front. An empty value is refused,
    but for settings whose default is none: there it says so.
    """

    model_config = SettingsConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)

    retired: ClassVar[Mapping[str, str]] = {}
    """Variables that were settings of this class once, with what replaced them. They are ignored with a warning."""

    @field_validator("*", mode="before")
    @classmethod
    def _empty_is_refused_or_none(cls, value: object, info: ValidationInfo) -> object:
        if not isinstance(value, str) or value.strip():
            return value
        setting = next(each for each in Setting.all_of(cls) if each.name == info.field_name)
        try:
            return setting.if_empty
        except LookupError:
            raise PydanticCustomError("empty", "is empty") from None


class ServiceSettings(Settings):
    """The settings that every service has; a service adds its own under its prefix."""

    log_format: Literal["auto", "json", "console"] = Field("auto", validation_alias="LOG_FORMAT")
    """How logs are written; `auto` is for people on a terminal and JSON elsewhere."""
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", validation_alias="LOG_LEVEL")
    """The least serious event that is written."""
    otlp_endpoint: str | None = Field(None, validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT")
    """The collector that spans are sent to, by gRPC; without one no spans are recorded."""
    otlp_traces_endpoint: str | None = Field(None, validation_alias="OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    """The same for spans alone; goes before `OTEL_EXPORTER_OTLP_ENDPOINT`."""
    otlp_timeout: Annotated[float, Unit("seconds")] = Field(
        2.0, gt=0, le=600, validation_alias="OTEL_EXPORTER_OTLP_TIMEOUT"
    )
    """How long the collector may take to accept a batch of spans."""
    otlp_traces_timeout: Annotated[float | None, Unit("seconds")] = Field(
        None, gt=0, le=600, validation_alias="OTEL_EXPORTER_OTLP_TRACES_TIMEOUT"
    )
    """The same; goes before `OTEL_EXPORTER_OTLP_TIMEOUT`."""
    spans_exporter: str = Field("otlp", validation_alias="OTEL_TRACES_EXPORTER")
    """`none` switches spans off; everything else is OTLP."""
    spans_disabled: bool = Field(default=False, validation_alias="OTEL_SDK_DISABLED")
    """Whether spans are off whatever else is set."""
    service_name: str | None = Field(None, validation_alias="OTEL_SERVICE_NAME")
    """The name of the service in its spans, if not its own."""
    span_queue: Annotated[int, Unit("spans")] = Field(
        16_384, ge=512, le=1_000_000, validation_alias="OTEL_BSP_MAX_QUEUE_SIZE"
    )
    """How many spans wait for the collector before new ones are dropped and counted; a batch is 512."""


class DatabaseSettings(ServiceSettings):
    """The settings of a service that owns a schema."""

    database_url: PostgresDsn = Field(validation_alias="DATABASE_URL")
    """The PostgreSQL database, with the parameters of libpq; several hosts as host1:port,host2:port."""
    database_listen_url: PostgresDsn | None = Field(None, validation_alias="DATABASE_LISTEN_URL")
    """The same database without a pooler in between, for LISTEN; needed if DATABASE_URL leads to PgBouncer."""

    @property
    def listen_url(self) -> str:
        """Where to listen for notifications."""
        return str(self.database_listen_url or self.database_url)


class OperatorSettings(ServiceSettings):
    """The settings of a service that operators speak to."""

    operator_token: SecretStr = SecretStr("")
    """The token that calls which change something must carry; without one no token is needed."""
    protect_reads: bool = False
    """Whether operators' calls that only read need the token too; set it in production."""

    @field_validator("protect_reads")
    @classmethod
    def _needs_a_token(cls, value: bool, info: ValidationInfo) -> bool:
        token = info.data.get("operator_token")
        if value and token is not None and not token.get_secret_value():
            message = "there is no operator token to protect anything with; set that too"
            raise PydanticCustomError("needs_other", message)
        return value

    @property
    def read_token(self) -> str:
        """What operators' calls that only read must carry; empty: no token is needed."""
        return self.operator_token.get_secret_value() if self.protect_reads else ""


class ServerSettings(ServiceSettings):
    """The settings of a service that speaks gRPC: how it and its neighbours know each other."""

    _exposed: ClassVar[tuple[str, ...]] = ("listen", "admin_listen")
    """The settings with addresses between which and others the network must be trusted, or TLS used."""

    tls_dir: Path | None = None
    """A directory with `tls.crt`, `tls.key` and `ca.crt`, as cert-manager makes it: gRPC is mutual TLS, and files that
    are renewed count without a restart. Without it gRPC is plaintext."""
    plaintext: bool = False
    """Whether plaintext is meant although other machines are involved."""
    health_listen: Address | None = None
    """Where health, and nothing else, is served in plaintext too: the probes of a kubelet speak no TLS."""
    operator_identities: CommaList = Field(("operator",), min_length=1)
    """The names (DNS or URI) in certificates of operators."""

    # The fields above are read before those that a service adds.
    @field_validator("*")
    @classmethod
    def _plaintext_is_meant(cls, value: object, info: ValidationInfo) -> object:
        trusted = info.data.get("tls_dir") or info.data.get("plaintext", True)
        if info.field_name in cls._exposed and not trusted and not _stays_here(value):
            prefix = str(cls.model_config.get("env_prefix", ""))
            raise PydanticCustomError(
                "needs_other",
                "involves other machines, and {prefix}TLS_DIR is not set; set it, or {prefix}PLAINTEXT=true if the"
                " network between them is to be trusted",
                {"prefix": prefix},
            )
        return value


def _stays_here(value: object) -> bool:
    """Tells whether an address or a target such as `dns:///host:port` is on this machine, or not set at all."""
    if value is None:
        return True
    if isinstance(value, Address):
        return value.is_loopback
    target = str(value)
    endpoints = _SCHEME.sub("", target).split(",")
    return target.startswith("unix:") or all(is_loopback(end.rpartition(":")[0].strip("[]")) for end in endpoints)


class SettingsError(Exception):
    """One or more settings are missing, wrong or misspelt; one line for each."""


S = TypeVar("S", bound=Settings)


def read(cls: type[S]) -> S:
    """Reads settings of a class from the environment; SettingsError with one line per violation."""
    settings = {each.name: each for each in Setting.all_of(cls)}
    own = [each.variable for each in settings.values()]
    prefix = str(cls.model_config.get("env_prefix", ""))
    violations = list(naming.violations(os.environ, own, gone=cls.retired, prefix=prefix))
    chosen = None
    try:
        chosen = cls()
    except ValidationError as error:
        faulty = {str(one["loc"][0]).lower(): one for one in error.errors(include_url=False)}
        violations += [
            f"{each.variable}: {_what_is_wrong(each, faulty[key])}"
            for each in settings.values()
            # A field is named by its variable if that is declared, and by its own name otherwise.
            for key in {each.name, each.variable.lower()} & faulty.keys()
        ]
    if chosen is None or violations:
        raise SettingsError("\n".join(violations))
    return chosen


def _what_is_wrong(setting: Setting, error: ErrorDetails) -> str:
    """Says what is wrong with a setting and what to write instead; a value that may hold a password is not quoted."""
    kind = error["type"]
    if kind == "needs_other":
        return error["msg"]
    value = "it" if setting.is_secret else _quoted(setting, error["input"])
    said = {
        "missing": "is not set, and has no default",
        "empty": "is empty",
        "too_short": "is empty",
        "bad_part": error["msg"],
        **dict.fromkeys(_OUT_OF_RANGE, f"{value} is out of range"),
    }.get(kind, f"{value} is not understood")
    otherwise = ", or do not set it" if kind == "empty" and setting.default != "required" else ""
    return f"{said}; write {setting.expected}{otherwise}"


def _quoted(setting: Setting, value: object) -> str:
    text = repr(value) if isinstance(value, str) else setting.show(value)
    return text if len(text) <= _QUOTED else f"{text[:_QUOTED]}…"


def retired(cls: type[Settings]) -> Iterator[tuple[str, str]]:
    """Yields the retired variables that are set, each with what replaced it."""
    return naming.retired(os.environ, cls.retired)


def load(cls: type[S]) -> S:
    """Reads settings as `read` does; if they are not usable, prints every line and exits with 2."""
    try:
        return read(cls)
    except SettingsError as error:
        print(f"The settings are not usable:\n{error}", file=sys.stderr)
        sys.exit(2)
