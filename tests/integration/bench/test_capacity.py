"""`make bench-capacity` runs, and what befalls one pool reaches the other at no size."""

import pytest

from tests.support import smoke

pytestmark = pytest.mark.timeout(300)


def test_it_measures_leases_clicks_and_two_pools() -> None:
    measured = smoke.figures("capacity")
    titles = {title for title, _ in measured}
    assert {"leases with release, 4 a statement, 2 replicas", "clicks of 6 hops logged, 16 a statement"} <= titles
    assert all(value > 0 for (_, unit), value in measured.items() if unit), measured
    troubled = [value for (title, _), value in measured.items() if title.endswith("failed at the neighbour")]
    assert len(troubled) == 2
    assert min(troubled) >= 1
