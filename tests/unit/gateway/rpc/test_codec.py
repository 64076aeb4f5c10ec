"""Messages and model say the same: no field of an offer is lost either way, and unknown words become 0."""

from dataclasses import fields, replace
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from clicktrace.gateway.v1 import gateway_pb2 as pb
from libs.common.rpc import times
from services.gateway.drift.shape import Deviation, Drift, DriftKind, Shape
from services.gateway.drift.stats import Health, OfferHealth
from services.gateway.model import (
    Answer,
    Attempt,
    BlockedLanding,
    ClickRecord,
    ClickStatus,
    FallbackPolicy,
    Hop,
    MergePolicy,
    Mode,
    Offer,
    Origin,
    Outcome,
    ParameterSource,
    Rename,
    UserAgentPolicy,
)
from services.gateway.rpc import codec

NOW = datetime(2026, 1, 2, 3, 4, 5, 678, UTC)

names = st.lists(st.text(max_size=5), max_size=3).map(tuple)
offers = st.builds(
    Offer,
    name=st.text(max_size=5),
    tracking_url=st.text(max_size=5),
    country=st.sampled_from(["", "gb"]),
    max_wait=st.none() | st.integers(1, 600).map(lambda tenths: tenths / 10),
    mode=st.sampled_from(Mode),
    merge_policy=st.sampled_from(MergePolicy),
    allow_params=names,
    deny_params=names,
    rename_params=st.lists(st.builds(Rename, st.text(max_size=3), st.text(max_size=3)), max_size=2).map(tuple),
    identity_params=names,
    fallback_url=st.text(max_size=5),
    fallback_policy=st.sampled_from(FallbackPolicy),
    landing_hosts=names,
    landing_statuses=st.lists(st.integers(400, 599), max_size=3).map(tuple),
    blocked_landing=st.sampled_from(BlockedLanding),
    user_agent_policy=st.sampled_from(UserAgentPolicy),
    allow_app_links=st.booleans(),
    weight=st.integers(1, 1_000),
    join_window=st.integers(0, 86_400).map(float),
    webhook_url=st.text(max_size=5),
    disabled=st.booleans(),
)


@given(offers)
def test_an_offer_survives_the_way_through_its_message(offer: Offer) -> None:
    assert codec.read_offer(codec.stored_offer_message(offer)) == offer


def test_message_and_model_of_an_offer_have_the_same_fields() -> None:
    assert {field.name for field in fields(Offer)} == set(pb.Offer.DESCRIPTOR.fields_by_name)


def test_what_follows_the_gateway_is_filled_in_for_readers_alone() -> None:
    offer = Offer("demo", "http://t.example/", create_time=NOW, update_time=NOW, etag="e")
    stored = codec.stored_offer_message(offer)
    assert not stored.HasField("max_wait")
    assert not stored.identity_params
    shown = codec.offer_message(offer, default_max_wait=7.0)
    assert times.to_seconds(shown.max_wait) == 7.0
    assert tuple(shown.identity_params) == offer.identity_names
    assert (shown.create_time, shown.update_time, shown.etag) == (stored.create_time, stored.update_time, "e")
    own = codec.offer_message(replace(offer, max_wait=2.0, identity_params=("order",)), default_max_wait=7.0)
    assert (times.to_seconds(own.max_wait), list(own.identity_params)) == (2.0, ["order"])


def test_a_record_is_rendered_with_all_that_was_decided() -> None:
    record = ClickRecord(
        click_id="c",
        version=3,
        offer="demo",
        status=ClickStatus.COMPLETED,
        start_time=NOW,
        give_up_time=NOW,
        inbound_query="a=1",
        answer=Answer.LANDING,
        reason="R",
        visitor_wait=0.0,
        end_time=NOW,
        location="http://l/",
        final_url="http://f/",
        stop_reason="LANDING",
        attempts=(Attempt("l", 5, "192.0.2.1", 8899, "us", 0.5, 0.0, Outcome.SUCCESS, "F"),),
        hops=(
            Hop(
                *(1, "http://h/", 302, "LOCATION", "http://n/", None, 0.0, None, 0.25, 0.5, "E"),
                *(2, "192.0.2.1:8899", "1.1", "TLSv1.3", 99, ("sid",), "location = 1"),
            ),
        ),
        params=(ParameterSource("p", "1", Origin.OFFER, -1, "rule"),),
        joined_click_id="j",
        otel_trace_id="t",
    )
    message = codec.click_message(record)
    unset = {field.name for field in message.DESCRIPTOR.fields} - {field.name for field, _ in message.ListFields()}
    assert unset == set()
    assert message.HasField("visitor_wait"), "a visitor who did not wait is none who still waits"
    (hop,) = message.hops
    assert {field.name for field in hop.DESCRIPTOR.fields} == {field.name for field, _ in hop.ListFields()}
    assert [hop.timing.HasField(name) for name in ("dns", "connect", "tls", "first_byte", "total")] == [
        *(False, True, False, True, True)
    ]
    assert message.attempts[0].outcome == "SUCCESS"
    assert message.attempts[0].HasField("trace_time")
    assert message.params[0].origin == pb.ParameterSource.OFFER


def test_words_of_a_newer_build_fail_no_message() -> None:
    record = ClickRecord("c", 1, "demo", ClickStatus("ASLEEP"), NOW, NOW, "", answer=Answer("HOLOGRAM"))
    message = codec.click_message(record._replace(params=(ParameterSource("p", "1", Origin("ORACLE"), 0, ""),)))
    assert (message.status, message.answer, message.params[0].origin) == (0, 0, 0)
    drifts = [Drift(Deviation(DriftKind(kind), "s", ""), 0.0, 1.0, 2) for kind in ("BROKEN_HOP", "SLOWER")]
    health = OfferHealth.of("demo", Health(shape=Shape(drifts=drifts)), 1.0)
    told = [drift.kind for drift in codec.health_message(health).drifts]
    assert told == [pb.ChainDrift.BROKEN_HOP, pb.ChainDrift.KIND_UNSPECIFIED]
