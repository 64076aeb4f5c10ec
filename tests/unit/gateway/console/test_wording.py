"""Durations in words."""

import pytest

from services.gateway.console import wording


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (0, "0 ms"),
        (0.0012, "1.2 ms"),
        (0.0999, "100 ms"),
        (0.9996, "1.00 s"),
        (12.34, "12.3 s"),
        (99.6, "1 min 40 s"),
        (3700, "1 h 01 min"),
        (200_000, "2 d 7 h"),
    ],
)
def test_spans_of_time_in_words(seconds: float | None, text: str) -> None:
    assert wording.span(seconds) == text
