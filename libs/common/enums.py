"""Open enums: a newer peer may send, or have stored, a value that this build does not know. It is kept, and no error.

Requests are the exception: a server refuses a number that it does not know, because it cannot do what is asked.
"""

import enum
import re
from functools import lru_cache
from typing import Any, Self

from google.protobuf.descriptor import EnumDescriptor

_LIMIT = 2**31
_UNKNOWN = re.compile(r"UNKNOWN_(-?[0-9]{1,10})")


class OpenEnum(enum.StrEnum):
    """An enum that a newer build may extend: an unknown word is a value equal to its text, and no member."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, str):
            return None
        word = str.__new__(cls, value)
        word._name_ = word._value_ = value
        return word

    @property
    def is_known(self) -> bool:
        """Whether this is a member, and not a word of a newer build."""
        return self._name_ in type(self).__members__


@lru_cache(maxsize=1_024)
def name_of(enum_type: EnumDescriptor, number: int) -> str:
    """Returns the name of an enum number: `UNKNOWN_9` for a 9 that this build does not know, empty for 0."""
    if number == 0:
        return ""
    known = enum_type.values_by_number.get(number)
    return known.name if known else f"UNKNOWN_{number}"


@lru_cache(maxsize=1_024)
def number_of(enum_type: EnumDescriptor, name: str) -> Any:
    """Returns the number of a name, as `name_of` gives it; 0 for the empty name and for a word of a newer build.

    The type of the result is that of the fields of this enum.
    """
    known = enum_type.values_by_name.get(name)
    if known:
        return known.number
    unknown = _UNKNOWN.fullmatch(name)
    number = int(unknown[1]) if unknown else 0
    return number if abs(number) < _LIMIT else 0
