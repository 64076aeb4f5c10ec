"""`make bench-start` runs: the first click lands, after the parts that it needs were ready."""

import pytest

from tests.support import smoke

pytestmark = pytest.mark.timeout(300)


def test_the_first_click_is_answered_last() -> None:
    measured = smoke.figures("start")
    for state in ("new state", "kept state"):
        moments = [value for (title, _), value in measured.items() if title.startswith(f"{state}: ")]
        assert len(moments) == 7
        assert 0 < max(moments[1:4]) <= moments[-2] <= moments[-1]
