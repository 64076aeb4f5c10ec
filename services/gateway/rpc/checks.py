"""Checks a request whole, so that all its violations are reported at once."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from libs.common.errors import Violation, invalid_request
from libs.common.rpc import times
from services.gateway.urls import template

_MAX_URL_LENGTH = 8_192
_MAX_NAMES = 200
_MAX_NAME_LENGTH = 200
_MAX_OFFER_LENGTH = 64
_DEFAULT_PAGE_SIZE, _MAX_PAGE_SIZE = 100, 1_000
_CLICK_ID = re.compile(r"[0-9a-f]{32}")


def is_click_id(text: str) -> bool:
    """Returns whether a text has the form of a click id: 32 hexadecimal digits, lower case."""
    return bool(_CLICK_ID.fullmatch(text))


def page_size(asked: int) -> int:
    """Returns the number of entries of a page: 100 for 0. Raises INVALID_ARGUMENT outside 0 to 1000."""
    if not 0 <= asked <= _MAX_PAGE_SIZE:
        text = f"must be 1 to {_MAX_PAGE_SIZE}, or left out for {_DEFAULT_PAGE_SIZE}"
        raise invalid_request([Violation("page_size", text)])
    return asked or _DEFAULT_PAGE_SIZE


class Check:
    """Collects violations; `finish` raises them together."""

    def __init__(self) -> None:
        """Starts without a violation."""
        self._violations: list[Violation] = []

    def that(self, holds: bool, field: str, description: str) -> None:
        """Adds a violation of a field unless a condition holds."""
        if not holds:
            self.violation(field, description)

    def violation(self, field: str, description: str) -> None:
        """Adds a violation of a field."""
        self._violations.append(Violation(field, description))

    def enum(self, field: str, values: Mapping[str, int], number: int) -> None:
        """Checks that a number is one of an enum, given by name; 0, a field that is left out, is allowed."""
        known = ", ".join(name for name, value in values.items() if value)
        self.that(number in values.values(), field, f"unknown value {number}; use {known}")

    def url(self, field: str, url: str, identity_params: Sequence[str]) -> None:
        """Checks a URL that may hold template fields."""
        if len(url) > _MAX_URL_LENGTH:
            self.violation(field, f"must be at most {_MAX_URL_LENGTH} characters")
            return
        for violation in template.violations(url, identity_params):
            self.violation(field, violation)

    def plain_url(self, field: str, url: str) -> None:
        """Checks a URL that holds no template fields."""
        if "{" in url or "}" in url:
            self.violation(field, "takes no template fields")
        else:
            self.url(field, url, ())

    def duration(self, field: str, seconds: float | None, least: float, most: float) -> None:
        """Checks that a duration is `least` to `most` seconds; None, a field that is left out, is allowed."""
        self.that(seconds is None or least <= seconds <= most, field, f"must be {least:g} s to {most:g} s, or left out")

    def time(self, field: str, moment: Timestamp | None) -> datetime | None:
        """Reads a time, and checks that it is in the years 1 to 9999; None, a field that is left out, is allowed."""
        if moment is None:
            return None
        try:
            return times.to_datetime(moment)
        except (ValueError, OverflowError):
            self.violation(field, "must be a time of the years 1 to 9999")
            return None

    def names(self, field: str, names: Sequence[str]) -> None:
        """Checks a list of parameter names: at most 200, each once, each 1 to 200 printable characters."""
        self.that(len(names) <= _MAX_NAMES, field, f"must be at most {_MAX_NAMES}")
        self.that(len(set(names)) == len(names), field, "must not name one parameter twice")
        for number, name in enumerate(names[:_MAX_NAMES]):
            allowed = 0 < len(name) <= _MAX_NAME_LENGTH and name.isprintable()
            self.that(allowed, f"{field}[{number}]", f"must be 1 to {_MAX_NAME_LENGTH} printable characters")

    def offer_filter(self, field: str, name: str) -> None:
        """Checks a name that narrows a list to one offer; it may be empty."""
        self.that(
            len(name) <= _MAX_OFFER_LENGTH and (not name or name.isprintable()), field, "must be the name of an offer"
        )

    def offer_page_token(self, token: str) -> None:
        """Checks a page token that is the name of the last offer of the previous page; it may be empty."""
        usable = len(token) <= _MAX_OFFER_LENGTH and (not token or token.isprintable())
        self.that(usable, "page_token", "must be that of the page before")

    def click_page_token(self, token: str) -> None:
        """Checks a page token that is the id of the last click of the previous page; it may be empty."""
        self.that(not token or is_click_id(token), "page_token", "must be that of the page before")

    def finish(self) -> None:
        """Raises INVALID_ARGUMENT/INVALID_REQUEST if there is a violation."""
        if self._violations:
            raise invalid_request(self._violations)
