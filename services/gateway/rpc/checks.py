"""Checking a request whole, so that all its faults are reported at once."""

from collections.abc import Sequence
from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from libs.common.errors import Violation, invalid_request
from libs.common.rpc import times
from services.gateway.urls import template

_LONGEST_URL = 8_192
_MOST_NAMES = 200
_LONGEST_NAME = 200


class Check:
    """Gathers faults; `finish` raises them together."""

    def __init__(self) -> None:
        """Begins without a fault."""
        self._violations: list[Violation] = []

    def that(self, holds: bool, field: str, description: str) -> None:
        """Notes a fault of a field unless a condition holds."""
        if not holds:
            self.fault(field, description)

    def fault(self, field: str, description: str) -> None:
        """Notes a fault of a field."""
        self._violations.append(Violation(field, description))

    def url(self, field: str, url: str, identity_params: Sequence[str]) -> None:
        """Notes what is wrong with a URL that may hold tokens."""
        if len(url) > _LONGEST_URL:
            self.fault(field, f"must be at most {_LONGEST_URL} characters")
            return
        for fault in template.faults(url, identity_params):
            self.fault(field, fault)

    def plain_url(self, field: str, url: str) -> None:
        """Notes what is wrong with a URL that holds no tokens."""
        if "{" in url or "}" in url:
            self.fault(field, "takes no tokens")
        else:
            self.url(field, url, ())

    def span(self, field: str, seconds: float | None, least: float, most: float) -> None:
        """Notes a span of time, in seconds, that is outside its range; None is left out and fine."""
        self.that(seconds is None or least <= seconds <= most, field, f"must be {least:g} s to {most:g} s, or left out")

    def time(self, field: str, moment: Timestamp | None) -> datetime | None:
        """Reads a time, and notes it if it is outside the years 1 to 9999; None is left out and fine."""
        if moment is None:
            return None
        try:
            return times.to_datetime(moment)
        except (ValueError, OverflowError):
            self.fault(field, "must be a time of the years 1 to 9999")
            return None

    def names(self, field: str, names: Sequence[str]) -> None:
        """Notes parameter names that are empty, too long or twice there."""
        self.that(len(names) <= _MOST_NAMES, field, f"must be at most {_MOST_NAMES}")
        self.that(len(set(names)) == len(names), field, "must not name one parameter twice")
        for number, name in enumerate(names[:_MOST_NAMES]):
            fine = 0 < len(name) <= _LONGEST_NAME and name.isprintable()
            self.that(fine, f"{field}[{number}]", f"must be 1 to {_LONGEST_NAME} printable characters")

    def finish(self) -> None:
        """Raises INVALID_ARGUMENT/INVALID_REQUEST if there is any fault."""
        if self._violations:
            raise invalid_request(self._violations)
