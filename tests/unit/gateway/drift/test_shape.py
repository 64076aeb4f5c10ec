"""The shape of an offer's chains: what is learned, what is drift, and that strangers cannot make it grow."""

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.gateway.drift.shape import (
    LEARNED_FROM,
    MOST_DRIFTS,
    MOST_HOPS,
    MOST_HOSTS,
    MOST_PARAMS,
    MOST_TEXT,
    Chain,
    DriftKind,
    Shape,
    deviations,
    observe,
)
from services.gateway.drift.stats import (
    Health,
    health_to_json,
)

HOUR = 3600.0
HOPS = [("track.example", "LOCATION"), ("hop.example", "META_REFRESH")]
GOOD = Chain.of(HOPS, "shop.example", params=["clickid", "sub1"], inbound=["gclid"])
ELSEWHERE = Chain.of(HOPS, "parked.example")
POOR = Chain.of(HOPS, "shop.example", params=["sub1"], inbound=["gclid"])
BLOCKED = replace(GOOD, is_blocked=True)
BROKEN = Chain.of(HOPS[:1], "hop.example", failure="CONNECTION_RESET")


def learned(*, chain: Chain = GOOD, times: int = 100, now: float = HOUR) -> Shape:
    shape, found = observe(Shape(), {chain: times}, now)
    assert not found
    return shape


def open_drifts(shape: Shape) -> list[tuple[DriftKind, str]]:
    return [(found.deviation.kind, found.deviation.subject) for found in shape.drifts]


@pytest.mark.parametrize(
    ("chain", "kind", "subject", "detail"),
    [
        (ELSEWHERE, DriftKind.NEW_LANDING_HOST, "parked.example", "chains end here; most ended on shop.example"),
        (POOR, DriftKind.LOST_PARAMETER, "clickid", "landing pages lack it; 100% had it"),
        (BROKEN, DriftKind.BROKEN_HOP, "hop.example", "chains break here: CONNECTION_RESET"),
        (BLOCKED, DriftKind.BLOCKED_LANDING, "shop.example", "landing pages keep robots out, as they did not"),
        (
            Chain.of(HOPS[:1], "hop.example"),
            DriftKind.NEW_LANDING_HOST,
            "hop.example",
            "chains end here; it used to lead on by META_REFRESH",
        ),
        (
            Chain.of(HOPS, "evil.example", failure="LANDING_NOT_ALLOWED"),
            DriftKind.NEW_LANDING_HOST,
            "evil.example",
            "chains end here, which the offer does not allow",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_change_is_flagged_counted_and_told(chain: Chain, kind: DriftKind, subject: str, detail: str) -> None:
    shape, drifting = observe(learned(), {GOOD: 2, chain: 3}, 2 * HOUR)
    assert drifting == {kind: 3}
    assert open_drifts(shape) == [(kind, subject)]
    (found,) = shape.drifts
    assert found.deviation.detail == detail
    assert (found.first, found.last, found.chains) == (2 * HOUR, 2 * HOUR, 3)
    later, _ = observe(shape, {chain: 1}, 2 * HOUR + 60)
    assert (later.drifts[0].first, later.drifts[0].last, later.drifts[0].chains) == (2 * HOUR, 2 * HOUR + 60, 4)


def test_pages_that_have_always_kept_robots_out_are_usual_until_they_let_them_in() -> None:
    shape = learned(chain=BLOCKED)
    assert shape.blocked == {"shop.example": 1.0}
    assert not deviations(shape, BLOCKED)
    shape, drifting = observe(shape, {BLOCKED: 1, GOOD: 2}, 2 * HOUR)
    assert drifting == {DriftKind.BLOCKED_LANDING: 2}
    assert [drift.deviation.detail for drift in shape.drifts] == ["landing pages let robots in again"]


def test_pages_that_keep_robots_out_now_and_then_are_usual() -> None:
    shape, _ = observe(Shape(), {GOOD: 70, BLOCKED: 30}, HOUR)
    assert not [*deviations(shape, GOOD), *deviations(shape, BLOCKED)]


def test_the_url_of_a_page_that_keeps_robots_out_misses_no_parameter() -> None:
    shape, _ = observe(Shape(), {GOOD: 70, BLOCKED: 30}, HOUR)
    assert deviations(shape, POOR)
    assert not deviations(shape, replace(POOR, is_blocked=True))


def test_a_share_of_pages_that_keep_robots_out_is_flagged_until_it_is_usual() -> None:
    shape, now, flagged = learned(), HOUR, []
    for _ in range(200):
        now += HOUR / 4
        shape, _ = observe(shape, {BLOCKED: 9, GOOD: 1}, now)
        flagged.append((DriftKind.BLOCKED_LANDING, "shop.example") in open_drifts(shape))
    assert flagged[0]
    assert not flagged[-1]
    assert flagged == sorted(flagged, reverse=True)
    assert shape.blocked["shop.example"] == pytest.approx(0.9, abs=0.05)


def test_nothing_is_drift_before_enough_is_learned() -> None:
    young, _ = observe(Shape(), {GOOD: LEARNED_FROM - 1}, HOUR)
    for chain in (ELSEWHERE, POOR, BROKEN):
        assert deviations(young, chain) == ()
    grown, _ = observe(young, {GOOD: 1}, HOUR)
    assert deviations(grown, ELSEWHERE)


def test_chains_that_break_teach_nothing() -> None:
    shape, _ = observe(Shape(), {BROKEN: 1_000}, HOUR)
    assert shape.chains == 0
    assert not shape.hops


def test_a_parameter_that_the_click_brought_is_neither_learned_nor_missed() -> None:
    shape = learned(chain=Chain.of(HOPS, "shop.example", params=["clickid", "gclid"], inbound=["gclid"]))
    assert set(shape.params) == {"clickid"}
    through = Chain.of(HOPS, "shop.example", params=["clickid"], inbound=["clickid"])
    assert deviations(shape, through) == ()


def test_a_share_is_of_those_chains_that_tell_of_a_parameter() -> None:
    brought = Chain.of(HOPS, "shop.example", params=["clickid", "sub1"], inbound=["sub1"])
    own = Chain.of(HOPS, "shop.example", params=["clickid", "sub1"])
    bare = Chain.of(HOPS, "shop.example", params=["clickid"])
    assert observe(Shape(), {brought: 50, own: 50}, HOUR)[0].params == {"clickid": 1.0, "sub1": 1.0}
    assert observe(Shape(), {brought: 50, bare: 50}, HOUR)[0].params == {"clickid": 1.0}


def test_a_parameter_that_is_there_now_and_then_is_not_missed() -> None:
    shape, _ = observe(Shape(), {GOOD: 50, POOR: 50}, HOUR)
    assert deviations(shape, POOR) == ()


def test_what_is_mended_is_flagged_no_more() -> None:
    shape, _ = observe(learned(), {BROKEN: 10}, 2 * HOUR)
    almost, _ = observe(shape, {GOOD: 49}, 2 * HOUR + 1)
    assert open_drifts(almost)
    assert not open_drifts(observe(almost, {GOOD: 1}, 2 * HOUR + 2)[0])


def test_what_nobody_has_seen_for_a_day_is_flagged_no_more() -> None:
    shape, _ = observe(learned(), {BROKEN: 1}, 2 * HOUR)
    assert open_drifts(observe(shape, {GOOD: 1}, 25 * HOUR)[0])
    assert not open_drifts(observe(shape, {GOOD: 1}, 27 * HOUR)[0])


def test_only_the_newest_drifts_are_kept() -> None:
    shape = learned()
    for number in range(40):
        shape, _ = observe(shape, {Chain.of([], f"h{number}.example", failure="NO_HOST"): 1}, 2 * HOUR + number)
    newest = [(DriftKind.BROKEN_HOP, f"h{number}.example") for number in range(39, 39 - MOST_DRIFTS, -1)]
    assert open_drifts(shape) == newest


def test_a_lasting_change_becomes_usual_after_hours_however_busy_the_offer_is() -> None:
    shape = learned(times=100_000)
    moment = HOUR
    while ELSEWHERE.end_host not in shape.landing_hosts or open_drifts(shape):
        moment += 2
        shape, _ = observe(shape, {ELSEWHERE: 400}, moment)
    assert 3 * HOUR < moment - HOUR < 6 * HOUR
    assert deviations(shape, ELSEWHERE) == ()
    assert observe(shape, {GOOD: 1}, moment)[1] == {}


def test_a_chain_that_stays_broken_stays_flagged() -> None:
    shape = learned()
    for hour in range(2, 40):
        shape, _ = observe(shape, {BROKEN: 100}, hour * HOUR)
    assert open_drifts(shape) == [(DriftKind.BROKEN_HOP, "hop.example")]


def test_landing_hosts_that_differ_with_every_click_are_no_news() -> None:
    shape, _ = observe(Shape(), {Chain.of(HOPS, f"u{number}.shop.example"): 1 for number in range(500)}, HOUR)
    assert deviations(shape, Chain.of(HOPS, "u501.shop.example")) == ()


def test_hosts_of_a_rotation_are_all_known() -> None:
    rotation = {Chain.of(HOPS, f"shop{number}.example"): 25 for number in range(4)}
    shape, _ = observe(Shape(), rotation, HOUR)
    assert all(deviations(shape, chain) == () for chain in rotation)
    assert deviations(shape, ELSEWHERE)


names = st.one_of(st.integers(0, 200).map(lambda number: f"n{number}.example"), st.sampled_from(["", "x" * 300]))
chains = st.builds(
    Chain.of,
    hops=st.lists(st.tuples(names, st.sampled_from(["LOCATION", "SCRIPT"])), max_size=20),
    end_host=names,
    params=st.lists(names, max_size=20),
    inbound=st.lists(names, max_size=5),
    failure=st.sampled_from(["", "", "CONNECTION_RESET", "LANDING_NOT_ALLOWED"]),
)
rounds = st.lists(
    st.tuples(st.dictionaries(chains, st.integers(1, 10_000), min_size=1, max_size=5), st.floats(0, 1e6)), max_size=8
)


@settings(max_examples=25)
@given(rounds)
def test_a_shape_is_bounded_and_its_shares_are_shares(seen: Sequence[tuple[dict[Chain, int], float]]) -> None:
    shape, moment = Shape(), 1e9
    for group, pause in seen:
        moment += pause
        shape, drifting = observe(shape, group, moment)
        assert sum(drifting.values()) <= 3 * sum(group.values())
        for shares, most in (
            (shape.hops, MOST_HOPS),
            (shape.landing_hosts, MOST_HOSTS),
            (shape.params, MOST_PARAMS),
        ):
            assert len(shares) <= most
            assert all(0 < share <= 1 and len(name) <= MOST_TEXT for name, share in shares.items())
        assert len(shape.drifts) <= MOST_DRIFTS
        assert all(found.first <= found.last <= moment for found in shape.drifts)
    assert len(json.dumps(health_to_json(Health(shape=shape)))) < 200_000


@given(st.integers(LEARNED_FROM, 10**6), st.lists(st.floats(0, 1e6), max_size=20))
def test_a_chain_that_never_changes_never_drifts(times: int, pauses: Sequence[float]) -> None:
    shape, moment = Shape(), 1e9
    for pause in (0.0, *pauses):
        moment += pause
        shape, drifting = observe(shape, {GOOD: times}, moment)
        assert not drifting
    assert shape.landing_hosts == {"shop.example": pytest.approx(1.0)}
