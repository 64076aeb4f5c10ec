"""A setting as it is declared: variable, form, default, range, unit and meaning, for errors and the reference."""

import enum
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, BeforeValidator, HttpUrl, PostgresDsn, SecretStr
from pydantic.fields import FieldInfo

from libs.common.process.values import Address, Unit, Written, parse_seconds, show_seconds

_FORMS: Mapping[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    Path: "a path",
    SecretStr: "a secret",
    Address: "an address as host:port, [v6]:port, or :port for every interface",
    HttpUrl: "a URL with http or https",
    PostgresDsn: "postgresql://user:password@host:port/database",
}
# Whatever may hold a password is never quoted.
_SECRET = (SecretStr, HttpUrl, PostgresDsn)


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of one class of settings."""

    name: str
    """The name of its field."""
    variable: str
    """The environment variable."""
    field: FieldInfo
    kind: Any
    """Its type, without None."""

    @classmethod
    def all_of(cls, declaring: type[BaseModel]) -> Iterator[Self]:
        """Yields every setting of a class, those that it inherits included."""
        prefix = str(declaring.model_config.get("env_prefix", ""))
        for name, field in declaring.model_fields.items():
            variable = str(field.validation_alias or f"{prefix}{name}").upper()
            yield cls(name, variable, field, _without_none(field.annotation))

    def _extra(self, kind: type) -> Any:
        """Returns what of a kind was added to the type, if anything was."""
        return next(
            (each for each in (*self.field.metadata, *_added(self.field.annotation)) if isinstance(each, kind)), None
        )

    @property
    def is_secret(self) -> bool:
        """Whether its value must never be shown."""
        return self.kind in _SECRET

    @property
    def meaning(self) -> str:
        """What it sets, in one line."""
        return " ".join((self.field.description or "").split())

    @property
    def form(self) -> str:
        """How its value is written."""
        if written := self._extra(Written):
            return str(written.form)
        if get_origin(self.kind) is Literal:
            return f"one of {', '.join(get_args(self.kind))}"
        if issubclass(self.kind, enum.Enum):
            return f"one of {', '.join(each.value for each in self.kind)}"
        return _FORMS[self.kind]

    @property
    def is_span(self) -> bool:
        """Whether it is a span of time, which is written with a unit."""
        return any(isinstance(each, BeforeValidator) and each.func is parse_seconds for each in self.field.metadata)

    @property
    def unit(self) -> str:
        """The unit of its number; empty if it is no number."""
        unit = self._extra(Unit)
        return unit.name if unit else ""

    @property
    def bounds(self) -> tuple[float | None, float | None, bool]:
        """The lowest and the highest value, and whether the lowest itself is left out."""
        low: float | None = None
        high: float | None = None
        open_below = False
        for each in self.field.metadata:
            match each:
                case Ge():
                    low = _number(each.ge)
                case Gt():
                    low, open_below = _number(each.gt), True
                case Le():
                    high = _number(each.le)
                case Lt():
                    raise TypeError(f"{self.variable}: say the highest value that is allowed (le)")
        return low, high, open_below

    @property
    def range(self) -> str:
        """Its range in words; empty if it has none."""
        low, high, open_below = self.bounds
        if low is None or high is None:
            return ""
        return (
            f"more than {self.show(low)}, up to {self.show(high)}"
            if open_below
            else f"{self.show(low)} to {self.show(high)}"
        )

    @property
    def expected(self) -> str:
        """What to write, in the words of an error message."""
        if not self.range:
            return self.form
        return f"{self.form}, {self.range}" if self.bounds[2] else f"{self.form}, from {self.range}"

    @property
    def default(self) -> str:
        """Its default as it would be written; "required" if it has none, and "none" if that is no value."""
        if self.field.is_required():
            return "required"
        return self.show(self.field.default)

    def show(self, value: Any) -> str:
        """Returns a value as it would be written in the environment; "none" if it is nothing."""
        match value:
            case SecretStr():
                return "secret" if value.get_secret_value() else "none"
            case bool():
                return str(value).lower()
            case int() | float() if self.is_span:
                return show_seconds(value)
            case int() | float():
                return f"{value:.10g}"
            case tuple():
                return ",".join(map(str, value)) or "none"
            case None | "":
                return "none"
            case Mapping():
                return "none"
            case enum.Enum():
                return str(value.value)
        return str(value)

    @property
    def if_empty(self) -> Any:
        """The meaning of an empty value; LookupError if it is refused."""
        written = self._extra(Written)
        if written and written.may_be_empty:
            return ""
        # The specification of OpenTelemetry says so.
        if self.variable.startswith("OTEL_") or (self.field.default in (None, (), {}) and not self.field.is_required()):
            return self.field.default
        raise LookupError


def _without_none(annotation: Any) -> Any:
    """Returns a type without None, and without what was added to it."""
    if get_origin(annotation) in {Union, types.UnionType}:
        (annotation,) = (each for each in get_args(annotation) if each is not type(None))
    return annotation.__origin__ if _added(annotation) else annotation


def _added(annotation: Any) -> tuple[Any, ...]:
    """Returns what was added to a type that may be None."""
    for each in (annotation, *get_args(annotation)):
        if added := getattr(each, "__metadata__", ()):
            return tuple(added)
    return ()


def _number(bound: Any) -> float:
    return float(bound)
