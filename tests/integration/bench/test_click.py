"""`make bench-click` runs: every section of it gives its figures."""

import pytest

from tests.support import smoke

# Both this and the section `pressure` write click-smoke.json.
pytestmark = [pytest.mark.xdist_group("bench-click"), pytest.mark.timeout(300)]


def test_every_section_measures() -> None:
    measured = smoke.figures("click", "visitor", "cost", "deadline", "held")
    titles = [title for title, _ in measured]
    assert [title for title in titles if title.startswith("CPU of a click: ")] == [
        f"CPU of a click: {part}"
        for part in (
            "gateway", "pool_manager", "tracer", "postgres",
            "the services together", "the single process", "its PostgreSQL",
        )
    ]  # fmt: skip
    assert {"p50 of a visitor's wait, 5 at once", "fallback after max_wait, p99", "memory: tracer"} <= set(titles)
    assert measured["traces in flight", ""] >= 20
    assert measured["CPU of a click: the services together", "ms"] > 0
    # A chain of four hops of 25 ms.
    assert measured["p50 of a bare pycurl walk, 5 at once", "ms"] >= 100
    assert measured["p50 of a visitor's wait, 5 at once", "ms"] >= 100


def test_a_part_that_there_is_not_is_refused() -> None:
    with pytest.raises(AssertionError, match="'costs' is no part: choose among visitor, cost, deadline, held"):
        smoke.output("click", "costs")
