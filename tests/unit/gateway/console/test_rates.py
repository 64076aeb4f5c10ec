"""Rates count each click once, and demand counts the clicks that found no IP."""

from services.gateway.console.rates import Rates
from services.gateway.model import (
    Answer,
    ClickStatus,
)
from tests.unit.gateway.console.samples import record


def test_a_late_end_is_no_second_click() -> None:
    rates = Rates()
    rates.sample(0.0, 0)
    rates.click(record(answer=Answer.FALLBACK, version=2))
    rates.click(record(answer=Answer.FALLBACK, version=3))
    rates.click(record(click_id="1" * 32))
    rates.sample(2.0, 4)
    assert (rates.clicks(10), rates.grants(10), rates.fallback_share()) == (1.0, 2.0, 0.5)


def test_demand_counts_the_clicks_that_found_no_ip_and_no_others() -> None:
    rates = Rates()
    rates.sample(0.0, 0)
    for number in range(6):
        rates.click(record(click_id=f"{number:032x}", status=ClickStatus.FAILED, answer=Answer.FALLBACK))
    rates.click(record(click_id="a" * 32, status=ClickStatus.NOT_TRACED))
    rates.click(record(click_id="b" * 32, joined_click_id="a" * 32))
    rates.sample(2.0, 2)
    assert (rates.grants(6), rates.demand(6)) == (1.0, 3.0)
    assert rates.demand(60) == 0.3, "a few clicks after a silence are no rate yet"
