"""Settings from environment variables, checked once at start, with every fault reported at once."""

import ipaddress
import math
import re
import sys
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import (
    BeforeValidator,
    Field,
    GetCoreSchemaHandler,
    PostgresDsn,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import core_schema
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

__all__ = [
    "Address",
    "CommaList",
    "DatabaseSettings",
    "Field",
    "Networks",
    "OperatorSettings",
    "Seconds",
    "SecretStr",
    "ServerSettings",
    "Settings",
    "SettingsConfigDict",
    "SettingsError",
    "load",
    "read",
]

_UNITS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|)")


def parse_seconds(value: object) -> float:
    """Reads a span of time such as `60`, `250ms`, `1.5s`, `2m`, `1h` into seconds; ValueError otherwise."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value)
    else:
        match = _SPAN.fullmatch(str(value).strip().lower())
        if not match:
            raise ValueError(f"{value!r} is no span of time; write 60, 250ms, 1.5s, 2m, 1h or 1d")
        seconds = float(match[1]) * _UNITS[match[2]]
    if not math.isfinite(seconds) or seconds < 0:
        raise ValueError(f"{value!r} is no span of time; it must be finite and not negative")
    return seconds


Seconds = Annotated[float, BeforeValidator(parse_seconds)]
"""A span of time in seconds, written with or without a unit."""


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


CommaList = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
"""Words separated by commas."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Networks = Annotated[tuple[Network, ...], NoDecode, BeforeValidator(_split)]
"""Networks in CIDR notation, separated by commas."""


_SCHEME = re.compile(r"^(?:[a-z]+://[^/]*/|dns:|ipv4:|ipv6:)")


class Address:
    """Where a server listens: `host:port`, `[v6]:port`, or `:port` for every interface; port 0: any that is free."""

    # No dataclass: pydantic-settings would read one from JSON.
    __slots__ = ("host", "port")

    def __init__(self, host: str, port: int) -> None:
        """Holds the two parts as they are."""
        self.host = host
        self.port = port

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return _is_loopback(self.host)

    @classmethod
    def parse(cls, value: object) -> Self:
        """Reads an address; ValueError if it is none."""
        if isinstance(value, cls):
            return value
        host, separator, port = str(value).strip().rpartition(":")
        if not separator or not port.isdecimal() or int(port) > 65535:
            raise ValueError(f"{value!r} is no address; write host:port, for example 127.0.0.1:50051")
        return cls(host.removeprefix("[").removesuffix("]") or "0.0.0.0", int(port))  # noqa: S104 - ":port" asks for it

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(cls.parse)


class Settings(BaseSettings):
    """The settings that every service has; a service adds its own under its prefix."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    log_format: Literal["auto", "json", "console"] = Field("auto", validation_alias="LOG_FORMAT")
    """How logs are written; `auto` is for people on a terminal and JSON elsewhere."""
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", validation_alias="LOG_LEVEL")
    """The least serious event that is written."""


class DatabaseSettings(Settings):
    """The settings of a service that owns a schema."""

    database_url: PostgresDsn = Field(validation_alias="DATABASE_URL")
    """The PostgreSQL to use: postgresql://user:password@host:port/database; several hosts as host1:port,host2:port."""
    database_listen_url: PostgresDsn | None = Field(None, validation_alias="DATABASE_LISTEN_URL")
    """The same database without a pooler in between, for LISTEN; needed if DATABASE_URL leads to PgBouncer."""

    @property
    def listen_url(self) -> str:
        """Where to listen for notifications."""
        return str(self.database_listen_url or self.database_url)


class OperatorSettings(Settings):
    """The settings of a service that operators speak to."""

    operator_token: SecretStr = SecretStr("")
    """What calls that change something must carry; empty: no token is needed."""
    protect_reads: bool = False
    """Whether operators' calls that only read need the token too; set it in production."""

    @field_validator("protect_reads")
    @classmethod
    def _needs_a_token(cls, value: bool, info: ValidationInfo) -> bool:
        token = info.data.get("operator_token")
        if value and token is not None and not token.get_secret_value():
            raise ValueError("there is no operator token to protect anything with; set that too")
        return value

    @property
    def read_token(self) -> str:
        """What operators' calls that only read must carry; empty: no token is needed."""
        return self.operator_token.get_secret_value() if self.protect_reads else ""


class ServerSettings(Settings):
    """The settings of a service that speaks gRPC: how it and its neighbours know each other."""

    _exposed: ClassVar[tuple[str, ...]] = ("listen", "admin_listen")
    """The settings with addresses between which and others the network must be trusted, or TLS used."""

    tls_dir: Path | None = None
    """A directory with `tls.crt`, `tls.key` and `ca.crt`, as cert-manager makes it: gRPC is mutual TLS, and files that
    are renewed count without a restart. Without it gRPC is plaintext."""
    plaintext: bool = False
    """Says that plaintext is meant although other machines are involved."""
    health_listen: Address | None = None
    """Where health, and nothing else, is served in plaintext too: the probes of a kubelet speak no TLS."""
    operator_identities: CommaList = ("operator",)
    """The names (DNS or URI) in certificates of operators."""

    @model_validator(mode="after")
    def _plaintext_is_meant(self) -> Self:
        outside = [name for name in self._exposed if not _stays_here(getattr(self, name))]
        if outside and self.tls_dir is None and not self.plaintext:
            prefix = str(self.model_config.get("env_prefix", ""))
            listed = ", ".join(f"{prefix}{name}".upper() for name in outside)
            raise ValueError(
                f"{prefix}TLS_DIR: is not set, though {listed} involves other machines; set it, "
                f"or {prefix}PLAINTEXT=true if the network between them is to be trusted"
            )
        return self


def _stays_here(value: object) -> bool:
    """Tells whether an address or a target such as `dns:///host:port` is on this machine, or not set at all."""
    if value is None:
        return True
    if isinstance(value, Address):
        return value.is_loopback
    target = str(value)
    endpoints = _SCHEME.sub("", target).split(",")
    return target.startswith("unix:") or all(_is_loopback(end.rpartition(":")[0].strip("[]")) for end in endpoints)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class SettingsError(Exception):
    """One or more settings are missing or wrong; one line for each."""


S = TypeVar("S", bound=Settings)


def read(cls: type[S]) -> S:
    """Reads settings of a class from the environment; SettingsError with one line per fault."""
    try:
        return cls()
    except ValidationError as error:
        prefix = cls.model_config.get("env_prefix", "")
        lines = []
        for fault in error.errors(include_input=False, include_url=False):
            message = "is not set, and has no default" if fault["type"] == "missing" else fault["msg"]
            message = message.removeprefix("Value error, ")
            if fault["loc"]:
                name = str(fault["loc"][0])
                message = f"{f'{prefix}{name}'.upper() if name in cls.model_fields else name}: {message}"
            lines.append(message)
        raise SettingsError("\n".join(lines)) from None


def load(cls: type[S]) -> S:
    """Reads settings as `read` does; on a fault prints every line and exits with 2."""
    try:
        return read(cls)
    except SettingsError as error:
        print(f"The settings are not usable:\n{error}", file=sys.stderr)
        sys.exit(2)
