"""The kinds of values that settings have: how each is read, and how each is written."""

import ipaddress
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Self, TypeVar

from pydantic import BeforeValidator, Field, GetCoreSchemaHandler
from pydantic_core import PydanticCustomError, core_schema
from pydantic_settings import NoDecode

_UNITS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|)")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Written:
    """How a kind of value is written, in the words of error messages and of the reference."""

    form: str
    may_be_empty: bool = False
    """Whether an empty value means something of its own."""


@dataclass(frozen=True, slots=True)
class Unit:
    """What a number counts or measures."""

    name: str


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


def show_seconds(seconds: float) -> str:
    """Writes seconds in the largest unit in which they are a whole number, as `parse_seconds` reads them."""
    for unit in ("d", "h", "m", "s", "ms"):
        count = seconds / _UNITS[unit]
        if round(count) >= 1 and math.isclose(count, round(count), rel_tol=1e-9):
            return f"{round(count)}{unit}"
    return f"{seconds:g}s"


Seconds = Annotated[
    float, BeforeValidator(parse_seconds), Written("a span of time such as 250ms, 30s, 5m, 1h or 1d"), Unit("seconds")
]
"""A span of time in seconds, written with or without a unit."""


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


CommaList = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split), Written("words separated by commas")]
"""Words separated by commas."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Networks = Annotated[
    tuple[Network, ...],
    NoDecode,
    BeforeValidator(_split),
    Written("networks separated by commas, such as 10.0.0.0/8,2001:db8::/32"),
]
"""Networks in CIDR notation, separated by commas."""

Target = Annotated[str, Field(min_length=1), Written("a target of gRPC such as dns:///host:port")]
"""Where a gRPC server is called."""

PeerName = Annotated[str, Written("a DNS name", may_be_empty=True)]
"""The name that the certificate of a server must have; empty: the one in its target."""


def named(read: Callable[[str], T]) -> Callable[[object], object]:
    """Returns a reader of `name=value,name=value`; it raises an error that quotes the first faulty part."""

    def parse(value: object) -> object:
        if not isinstance(value, str):
            return value
        values: dict[str, T] = {}
        for part in filter(None, map(str.strip, value.split(","))):
            name, separator, text = part.partition("=")
            if not name or not separator or name in values:
                raise bad_part(part)
            try:
                values[name] = read(text)
            except ValueError:
                raise bad_part(part) from None
        return values

    return parse


def bad_part(part: str) -> PydanticCustomError:
    """Returns the error of a value that is a list, of which one part cannot be read."""
    return PydanticCustomError("bad_part", "its part {part} is not understood", {"part": repr(part)})


Spans = Annotated[
    Mapping[str, float],
    NoDecode,
    BeforeValidator(named(parse_seconds)),
    Written("names with spans of time such as luna=30s,other=90s"),
]
"""A span of time in seconds for each name."""


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
        return is_loopback(self.host)

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


def is_loopback(host: str) -> bool:
    """Tells whether a host is this machine; a name other than `localhost` is taken for another machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
