"""Recognises responses that a forwarding proxy made itself, by the rules in `own_answers.toml`."""

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from services.tracer.model.exchange import Headers


class OwnAnswerRule(NamedTuple):
    """One row of the file; every condition that it states must hold."""

    proxy: str
    """The program or provider that answers so."""
    source: str
    """Where this is known from."""
    header: str
    """Lower-case name of a header that must be present; empty for none."""
    value: re.Pattern[bytes]
    """What a value of that header must contain."""
    absent: str
    """Lower-case name of a header that must be missing; empty for none."""
    statuses: range

    def applies(self, status: int, headers: Headers) -> bool:
        """Returns whether a response is one of the proxy's own."""
        if status not in self.statuses or (self.absent and self.absent.encode() in headers):
            return False
        return not self.header or any(map(self.value.search, headers.get(self.header.encode(), ())))


def _read() -> Sequence[OwnAnswerRule]:
    text = Path(__file__).with_suffix(".toml").read_text(encoding="utf-8")
    rules = []
    for row in tomllib.loads(text)["rule"]:
        first, last = row.pop("statuses", (100, 599))
        rule = OwnAnswerRule(
            proxy=row.pop("proxy"),
            source=row.pop("source"),
            header=row.pop("header", ""),
            value=re.compile(row.pop("value", "").encode(), re.IGNORECASE),
            absent=row.pop("absent", ""),
            statuses=range(first, last + 1),
        )
        if row or not (rule.header or (first, last) != (100, 599)):
            raise ValueError(f"own_answers.toml: the row of {rule.proxy} is not understood: {row}")
        rules.append(rule)
    return tuple(rules)


RULES = _read()
_MARKS = frozenset(rule.header.encode() for rule in RULES)
_MARKED_STATUSES = frozenset(status for rule in RULES if not rule.header for status in rule.statuses)


def is_own_answer(status: int, headers: Headers) -> bool:
    """Returns whether the response to a forwarded request was made by the proxy itself."""
    if _MARKS.isdisjoint(headers) and status not in _MARKED_STATUSES:
        return False
    return any(rule.applies(status, headers) for rule in RULES)
