"""Durations and sizes in words."""

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


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1_234, "1.2 kB"), (99_949, "99.9 kB"), (100_000, "100 kB"), (999_500, "1.0 MB")],
)
def test_sizes_in_words(count: int, text: str) -> None:
    assert wording.size(count) == text
