"""`make bench-console` runs, in a real Chromium."""

from tests.support import smoke
from tests.support.chromium import chromium_path


def test_the_page_is_drawn_without_errors() -> None:
    assert chromium_path()
    measured = smoke.figures("console")
    assert measured["errors", ""] == 0
    assert measured["frames a second", ""] > 0
    assert measured["elements after", ""] > 0
