"""Settings from environment variables, checked once at start, with every fault reported at once."""

import ipaddress
import math
import re
import sys
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    BeforeValidator,
    Field,
    GetCoreSchemaHandler,
    PostgresDsn,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
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
    """The PostgreSQL to use: postgresql://user:password@host:port/database."""


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
            name = str(fault["loc"][0]) if fault["loc"] else "settings"
            variable = f"{prefix}{name}".upper() if name in cls.model_fields else name
            message = "is not set, and has no default" if fault["type"] == "missing" else fault["msg"]
            lines.append(f"{variable}: {message.removeprefix('Value error, ')}")
        raise SettingsError("\n".join(lines)) from None


def load(cls: type[S]) -> S:
    """Reads settings as `read` does; on a fault prints every line and exits with 2."""
    try:
        return read(cls)
    except SettingsError as error:
        print(f"The settings are not usable:\n{error}", file=sys.stderr)
        sys.exit(2)
