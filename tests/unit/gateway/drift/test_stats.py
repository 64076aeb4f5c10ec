"""The health of an offer: an hour of counts, quantiles of times, and a state that survives the database."""

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.gateway.drift.shape import Chain, Deviation, Drift, DriftKind, Shape
from services.gateway.drift.stats import (
    Activity,
    Health,
    OfferHealth,
    health_from_json,
    health_to_json,
    quantile,
    time_class,
)
from tests.unit.gateway.drift.test_shape import rounds


@settings(max_examples=25)
@given(rounds)
def test_a_shape_survives_the_database(seen: Sequence[tuple[dict[Chain, int], float]]) -> None:
    health, moment = Health(), 1e9
    for group, pause in seen:
        moment += pause
        activity = Activity(clicks=3, fallbacks=1, last_landing="https://shop.example/")
        activity.times[time_class(0.5)] += 2
        for chain, times in group.items():
            activity.chains[chain] += times
        health, _ = health.after(activity, moment)
    assert health_from_json(json.loads(json.dumps(health_to_json(health)))) == health


@given(st.lists(st.floats(0.001, 100), min_size=1, max_size=300), st.sampled_from([0.5, 0.9, 0.99]))
def test_quantiles_are_right_to_a_tenth(times: list[float], q: float) -> None:
    activity = Activity()
    for time in times:
        activity.times[time_class(time)] += 1
    exact = sorted(times)[max(0, -(-int(q * 1000) * len(times) // 1000) - 1)]
    assert quantile(activity.times, q) == pytest.approx(exact, rel=0.1)


def test_an_hour_is_remembered_and_no_more() -> None:
    health = Health()
    for minute in range(0, 180, 5):
        health, _ = health.after(Activity(clicks=10, fallbacks=1), minute * 60.0)
    told = OfferHealth.of("demo", health, 175 * 60.0)
    assert (told.clicks, told.fallbacks, told.fallback_share) == (120, 12, 0.1)
    assert len(health.slots) <= 14
    assert OfferHealth.of("demo", health, 400 * 60.0).fallback_share == 0.0
    assert OfferHealth.of("demo", health, 400 * 60.0).trace_time(0.5) is None


def test_activity_that_waits_is_bounded_too() -> None:
    activity = Activity()
    for number in range(5_000):
        activity.count_chain(Chain.of([], f"h{number}.example"))
        activity.count_chain(Chain.of([], "h0.example"))
    assert len(activity.chains) <= 200
    assert activity.chains[Chain.of([], "h0.example")] == 5_001


def test_a_drift_of_a_kind_that_this_build_does_not_know_stays_for_those_that_do() -> None:
    known = Drift(Deviation(DriftKind.BROKEN_HOP, "hop.example", "chains break here"), 1.0, 2.0, 3)
    state = health_to_json(Health(shape=Shape(chains=30, drifts=(known, known)), last_landing="http://shop.example/"))
    written = json.loads(json.dumps(state))
    written["drifts"][0]["kind"] = "SLOWER"
    newer = replace(known, deviation=replace(known.deviation, kind=DriftKind("SLOWER")))
    health = health_from_json(written)
    assert (health.shape.drifts, health.shape.chains) == ((newer, known), 30)
    activity = Activity()
    for _ in range(100):
        activity.count_chain(Chain.of([], "shop.example"))
    after, _ = health.after(activity, 400.0)
    assert after.shape.drifts == (newer,), "a hundred chains say that the known one is over, and nothing of the other"
    assert health_to_json(after)["drifts"] == [written["drifts"][0]]
    assert health.after(activity, 2.0 + 86_401.0)[0].shape.drifts == ()


def test_a_shape_survives_the_way_through_its_document() -> None:
    shape = Shape(chains=30, hops={"h LOCATION": 1.0}, params={"p": 0.5}, blocked={"shop.example": 0.25})
    state = json.loads(json.dumps(health_to_json(Health(shape=shape))))
    assert health_from_json(state).shape == shape
    # An older gateway wrote none.
    del state["blocked"]
    assert health_from_json(state).shape == replace(shape, blocked={})


@pytest.mark.parametrize(
    "spoilt", [{"slots": {"x": [1, 2]}}, {"slots": {"300": [1, 2, {"x": 1}]}}, {"hops": {"a": "b"}}]
)
def test_an_entry_of_another_form_is_left_out_of_the_rest(spoilt: dict[str, object]) -> None:
    written = json.loads(
        json.dumps(health_to_json(Health(shape=Shape(chains=30), last_landing="http://shop.example/")))
    )
    health = health_from_json(written | spoilt)
    assert (health.shape.chains, health.shape.hops, health.last_landing) == (30, {}, "http://shop.example/")
    activity = Activity(clicks=1)
    activity.count_chain(Chain.of([], "shop.example"))
    after, _ = health.after(activity, 400.0)
    assert OfferHealth.of("demo", after, 400.0).clicks in (1, 2)
    assert OfferHealth.of("demo", after, 400.0).trace_time(0.5) is None
