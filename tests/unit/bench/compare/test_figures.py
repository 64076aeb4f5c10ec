"""The arithmetic of a comparison: which figures are the same, what their ratio is, and when a target is met."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.compare import CompareError
from bench.compare.figures import Comparison, Name, Target, by_name, compare, only_in
from bench.measure.report import Row

CPU = Name("CPU of a click", "ms")
RATE = Name("clicks", "/s")
POSITIVE = st.lists(st.floats(1e-3, 1e6), min_size=2, max_size=9)


def one(baseline: list[float], present: list[float]) -> Comparison:
    return Comparison(CPU, baseline, present)


def test_an_indented_line_is_named_with_the_line_that_it_stands_under() -> None:
    rows = [Row("p50", 1.0, "ms"), Row("  ratio", 2.0), Row("p99", 3.0, "ms"), Row("  ratio", 4.0)]
    assert by_name(rows) == {
        ("p50", "ms"): 1.0, ("p50, ratio", ""): 2.0, ("p99", "ms"): 3.0, ("p99, ratio", ""): 4.0,
    }  # fmt: skip


def test_a_name_that_comes_again_is_told_apart_by_its_unit_or_its_number() -> None:
    rows = [Row("curl", 1.0, "ms CPU"), Row("curl", 2.0, "ms wall"), Row("curl", 3.0, "ms wall"), Row("  of", 4.0)]
    assert by_name([*rows, Row("  of", 5.0)]) == {
        ("curl", "ms CPU"): 1.0, ("curl", "ms wall"): 2.0, ("curl (2)", "ms wall"): 3.0,
        ("curl, of", ""): 4.0, ("curl, of (2)", ""): 5.0,
    }  # fmt: skip


def test_an_indented_line_without_one_above_keeps_its_name() -> None:
    assert by_name([Row("  ratio", 1.0)]) == {("ratio", ""): 1.0}


def test_medians_are_those_of_the_turns() -> None:
    assert one([9.0, 1.0, 2.0], [30.0, 10.0, 20.0]).medians == (2.0, 20.0)
    assert one([1.0, 2.0, 4.0, 100.0], [1.0, 1.0, 1.0, 1.0]).medians == (3.0, 1.0), "the mean of the two in the middle"


def test_the_ratio_is_the_median_of_the_turns_ratios_and_not_the_ratio_of_medians() -> None:
    # The machine is slower from turn to turn; side by side, this code costs half each time.
    drifting = one([1.0, 10.0, 100.0, 1000.0, 5.0], [0.5, 5.0, 50.0, 500.0, 2.5])
    assert drifting.ratio == 0.5
    uneven = one([1.0, 2.0, 3.0], [3.0, 2.0, 1.0])
    assert uneven.ratio == 1.0
    assert one([1.0, 2.0, 6.0], [4.0, 4.0, 3.0]).ratio == 2.0, "medians alone would say 4 / 2, as it happens"
    assert one([1.0, 2.0, 6.0], [8.0, 3.0, 3.0]).ratio == 1.5, "medians alone would say 3 / 2"
    assert one([2.0, 4.0, 8.0], [8.0, 2.0, 8.0]).ratio == 1.0, "medians alone would say 8 / 4"


def test_the_spread_reaches_from_the_tenth_to_the_ninetieth_percentile_of_the_baselines_own_ratios() -> None:
    spread = one([1.0, 2.0], [1.0, 1.0]).spread
    # Ratios are 1/2 and 2; a tenth of the way between their logarithms, from either end.
    assert spread == pytest.approx((2**-0.8, 2**0.8))
    assert one([3.0, 3.0, 3.0], [1.0, 2.0, 9.0]).spread == (1.0, 1.0), "the present turns have no part in it"


@given(POSITIVE, st.floats(1e-3, 1e3))
def test_the_spread_has_1_inside_and_no_unit(turns: list[float], factor: float) -> None:
    spread = one(turns, turns).spread
    assert spread is not None
    rounding = 1e-9
    assert spread.low <= 1 + rounding
    assert spread.high >= 1 - rounding
    assert one([turn * factor for turn in turns], turns).spread == pytest.approx(spread)


@given(POSITIVE, st.floats(1e-2, 1e2))
def test_code_that_costs_a_constant_factor_has_that_ratio(turns: list[float], factor: float) -> None:
    ratio = one(turns, [turn * factor for turn in turns]).ratio
    assert ratio is not None
    assert math.isclose(ratio, factor)


@pytest.mark.parametrize("least", [0.0, -1.0])
def test_a_baseline_that_is_not_above_zero_gives_no_ratio(least: float) -> None:
    failures = one([least, 3.0], [0.0, 0.0])
    assert (failures.ratio, failures.spread, failures.verdict) == (None, None, "")
    assert failures.medians == ((least + 3.0) / 2, 0.0)


def test_a_single_turn_has_a_ratio_and_no_spread() -> None:
    assert (one([2.0], [3.0]).ratio, one([2.0], [3.0]).spread, one([2.0], [3.0]).verdict) == (1.5, None, "")


@pytest.mark.parametrize(
    ("present", "verdict"), [([1.0, 1.1, 0.9], "same"), ([2.0, 2.2, 1.8], "higher"), ([0.5, 0.5, 0.5], "lower")]
)
def test_the_verdict_is_the_same_as_long_as_the_ratio_lies_within_the_spread(
    present: list[float], verdict: str
) -> None:
    assert one([1.0, 1.1, 0.9], present).verdict == verdict


def test_figures_are_compared_that_every_run_of_both_sides_has() -> None:
    then = [{CPU: 1.0, RATE: 5.0, Name("gone", ""): 1.0}, {CPU: 2.0, RATE: 6.0, Name("gone", ""): 1.0}]
    now = [{Name("new", ""): 1.0, RATE: 7.0, CPU: 3.0}, {RATE: 8.0, CPU: 4.0}]
    compared = compare(then, now)
    assert compared == [Comparison(RATE, [5.0, 6.0], [7.0, 8.0]), Comparison(CPU, [1.0, 2.0], [3.0, 4.0])]
    names = [one.name for one in compared]
    assert only_in(then, names) == ["gone"]
    assert only_in(now, names) == ["new"]


def test_a_figure_whose_unit_has_changed_is_another() -> None:
    assert compare([{Name("wait", "s"): 1.0}], [{Name("wait", "ms"): 1.0}]) == []


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("services together<=1.05", Target("services together", at_most=True, bound=1.05)),
        (" clicks/s per core, all >= 2 ", Target("clicks/s per core, all", at_most=False, bound=2.0)),
        ("p99 <= 50<=0.9", Target("p99 <= 50", at_most=True, bound=0.9)),
    ],
)
def test_targets_are_read(text: str, target: Target) -> None:
    assert Target.parse(text) == target


@pytest.mark.parametrize("text", ["", "1.05", "<=1.05", "cpu=1", "cpu<1", "cpu<=", "cpu<=fast", "cpu<=-1", "cpu<=1x"])
def test_what_is_no_target_is_refused_with_what_one_looks_like(text: str) -> None:
    with pytest.raises(ValueError, match="FIGURE<=RATIO"):
        Target.parse(text)


NAMES = [
    Name("CPU: gateway", "ms"),
    Name("CPU: tracer", "ms"),
    Name("curl", "ms CPU"),
    Name("curl", "ms wall"),
    Name("tracer", "ms"),
]


@pytest.mark.parametrize(
    ("words", "index"),
    [("gateway", 0), ("cpu: TRACER", 1), ("tracer", 4), ("curl ms wall", 3), ("wall", 3), ("CPU: tracer ms", 1)],
)
def test_a_target_names_a_figure_by_a_part_that_no_other_has(words: str, index: int) -> None:
    assert Target(words, at_most=True, bound=1.0).choose(NAMES) == NAMES[index]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("memory", "'memory' names no figures; choose one of 'CPU: gateway ms', 'CPU: tracer ms', 'curl ms CPU'"),
        ("CPU:", "'CPU:' names 2 figures; choose one of 'CPU: gateway ms', 'CPU: tracer ms'$"),
        ("curl", "'curl' names 2 figures; choose one of 'curl ms CPU', 'curl ms wall'$"),
    ],
)
def test_a_target_that_names_no_figure_or_several_is_told_which_there_are(words: str, message: str) -> None:
    with pytest.raises(CompareError, match=message):
        Target(words, at_most=True, bound=1.0).choose(NAMES)


def test_a_target_is_met_within_the_baselines_own_spread_and_missed_beyond_it() -> None:
    baseline = [1.0, 2.0]  # its spread is 0.574 to 1.741
    at_most, at_least = Target("x", at_most=True, bound=1.1), Target("x", at_most=False, bound=1.1)
    # The bounds are 1.1 × 1.741 = 1.915 and 1.1 × 0.574 = 0.632.
    for ratio, low_enough, high_enough in (
        (0.63, True, False),
        (0.64, True, True),
        (1.91, True, True),
        (1.92, False, True),
    ):
        compared = one(baseline, [value * ratio for value in baseline])
        assert (at_most.is_met(compared), at_least.is_met(compared)) == (low_enough, high_enough), ratio


def test_a_target_is_met_without_any_spread_when_the_bound_is_kept() -> None:
    steady = one([2.0, 2.0, 2.0], [2.0, 2.0, 2.0])
    assert Target("x", at_most=True, bound=1.0).is_met(steady)
    assert not Target("x", at_most=True, bound=0.99).is_met(steady)


def test_a_target_for_a_figure_that_has_no_ratio_is_missed() -> None:
    assert not Target("x", at_most=True, bound=1.0).is_met(one([0.0, 0.0], [0.0, 0.0]))
