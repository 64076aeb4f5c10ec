"""The section `pressure` of `make bench-click` runs, and what it promises of refused clicks holds at any size."""

import pytest

from tests.support import smoke

pytestmark = [pytest.mark.xdist_group("bench-click"), pytest.mark.timeout(300)]


def test_every_click_that_there_is_no_room_for_is_redirected_and_on_record() -> None:
    measured = smoke.figures("click", "pressure")
    assert measured["refused clicks in the log, of those answered", ""] == 1
    no_redirect = {title: value for (title, _), value in measured.items() if "no redirect" in title}
    assert len(no_redirect) == 3
    assert set(no_redirect.values()) == {0}
    assert measured["CPU of a refused click: gateway", "ms"] > 0
