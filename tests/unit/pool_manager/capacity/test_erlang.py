"""Proves Erlang's formula by its definition and by a simulation, and the rule of thumb by its own example."""

import heapq
import math
import random
from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.common.errors import Violation
from services.pool_manager.capacity.erlang import Load, PartialLoad, estimate, ips_for, loss, rule_of_thumb
from services.pool_manager.model.capacity import MeasuredLoad


def by_definition(ips: int, erlang: Fraction) -> Fraction:
    """Erlang's B as a quotient of sums, in exact arithmetic."""
    terms = [erlang**count / math.factorial(count) for count in range(ips + 1)]
    return terms[-1] / sum(terms)


@given(st.integers(0, 60), st.fractions(Fraction(1, 100), 80, max_denominator=100))
@settings(max_examples=60)
def test_the_loss_is_erlangs_b(ips: int, erlang: Fraction) -> None:
    assert loss(ips, float(erlang)) == pytest.approx(float(by_definition(ips, erlang)), rel=1e-9)


@given(st.floats(0, 500), st.floats(0.0001, 0.9))
def test_the_size_is_the_smallest_that_will_do(erlang: float, target: float) -> None:
    ips = ips_for(erlang, target)
    assert loss(ips, erlang) <= target
    assert ips == 0 or loss(ips - 1, erlang) > target


@pytest.mark.parametrize(
    ("erlang", "target", "ips"), [(10, 0.01, 18), (100, 0.01, 117), (100, 0.001, 128), (1, 0.5, 1)]
)
def test_the_sizes_of_the_published_tables(erlang: float, target: float, ips: int) -> None:
    assert ips_for(erlang, target) == ips


def simulated_loss(ips: int, rate: float, trace_time: Callable[[], float], cooldown: float, clicks: int) -> float:
    """Lets clicks come by chance to IPs that are each busy for a trace and a cooldown; counts who finds none."""
    chance = random.Random(1)
    free_at: list[float] = []
    now, lost = 0.0, 0
    for _ in range(clicks):
        now += chance.expovariate(rate)
        while free_at and free_at[0] <= now:
            heapq.heappop(free_at)
        if len(free_at) >= ips:
            lost += 1
        else:
            heapq.heappush(free_at, now + trace_time() + cooldown)
    return lost / clicks


@pytest.mark.parametrize("spread", ["constant", "exponential", "two kinds"])
@pytest.mark.parametrize(("ips", "rate"), [(20, 0.25), (75, 1.0), (100, 1.2)])
def test_a_simulated_pool_loses_what_the_formula_says(ips: int, rate: float, spread: str) -> None:
    chance = random.Random(2)
    trace_times = {
        "constant": lambda: 10.0,
        "exponential": lambda: chance.expovariate(0.1),
        "two kinds": lambda: 1.0 if chance.random() < 0.5 else 19.0,
    }
    simulated = simulated_loss(ips, rate, trace_times[spread], 60.0, 60_000)
    assert simulated == pytest.approx(loss(ips, rate * 70.0), abs=0.012)


def test_the_rule_of_thumb_gives_its_own_example() -> None:
    assert rule_of_thumb(Load(5.0, 10.0, 60.0, peak_concurrent=50)) == 525
    assert rule_of_thumb(Load(5.0, 10.0, 60.0)) == 525


def test_free_ips_last_until_clicks_have_taken_more_than_comes_back() -> None:
    # 60 of 70 IPs are busy for 70 s each: 60/70 come back a second, 2 go.
    result = estimate(Load(2.0, 10.0, 60.0), present=70, available=10, busy=60)
    assert result.time_to_exhaustion == pytest.approx(10 / (2 - 60 / 70))
    assert estimate(Load(0.9, 10.0, 60.0), present=70, available=10, busy=60).time_to_exhaustion is None


def test_gaps_are_filled_with_what_was_measured() -> None:
    violations: list[Violation] = []
    load = PartialLoad(cooldown=30.0, target_loss=0.05).completed(violations, MeasuredLoad(2.0, 8.0, 60.0))
    assert (load, violations) == (Load(2.0, 8.0, 30.0, target_loss=0.05), [])


def test_a_load_beyond_all_measure_is_refused() -> None:
    violations: list[Violation] = []
    assert PartialLoad(1e6, 86_400.0, 0.0).completed(violations, MeasuredLoad(None, None, 60.0)) is None
    assert [violation.field for violation in violations] == ["clicks_per_second"]
    with pytest.raises(ValueError, match="erlang"):
        ips_for(2e6, 0.01)
