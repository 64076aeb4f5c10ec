"""Translates between messages of `clicktrace.gateway.v1` and the model; pure, and the only place that knows both.

Requests are checked before they are read: `read_offer` raises ValueError for an enum number that the proto does not
define.
"""

from collections.abc import Mapping
from datetime import UTC, datetime

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from clicktrace.common.v1 import common_pb2
from clicktrace.gateway.v1 import gateway_pb2 as pb
from libs.common.enums import number_of
from libs.common.rpc import times
from services.gateway.drift.shape import Drift
from services.gateway.drift.stats import PERIOD_SECONDS, OfferHealth
from services.gateway.model import (
    DEFAULT_JOIN_WINDOW_SECONDS,
    Attempt,
    BlockedLanding,
    ClickRecord,
    FallbackPolicy,
    Hop,
    MergePolicy,
    Mode,
    Offer,
    ParameterSource,
    Rename,
    Undelivered,
    UserAgentPolicy,
)

_HOP_KIND = common_pb2.Hop.Kind.DESCRIPTOR


def read_offer(message: pb.Offer) -> Offer:
    """Reads an offer, with the defaults of fields that are left out; its times and its etag are not read."""
    return Offer(
        name=message.name,
        tracking_url=message.tracking_url,
        country=message.country.lower(),
        max_wait=times.to_seconds(message.max_wait) if message.HasField("max_wait") else None,
        mode=Mode(pb.Mode.Name(message.mode or pb.TRACE)),
        merge_policy=MergePolicy(pb.MergePolicy.Name(message.merge_policy or pb.INBOUND_WINS)),
        allow_params=tuple(message.allow_params),
        deny_params=tuple(message.deny_params),
        rename_params=tuple(Rename(getattr(rename, "from"), rename.to) for rename in message.rename_params),
        identity_params=tuple(message.identity_params),
        fallback_url=message.fallback_url,
        fallback_policy=FallbackPolicy(pb.FallbackPolicy.Name(message.fallback_policy or pb.TRACKING_URL)),
        landing_hosts=tuple(message.landing_hosts),
        landing_statuses=tuple(message.landing_statuses),
        blocked_landing=BlockedLanding(pb.Offer.BlockedLanding.Name(message.blocked_landing or pb.Offer.USE)),
        user_agent_policy=UserAgentPolicy(pb.UserAgentPolicy.Name(message.user_agent_policy or pb.TRACER)),
        allow_app_links=message.allow_app_links,
        weight=message.weight or 1,
        join_window=(
            times.to_seconds(message.join_window) if message.HasField("join_window") else DEFAULT_JOIN_WINDOW_SECONDS
        ),
        webhook_url=message.webhook_url,
        disabled=message.disabled,
    )


def stored_offer_message(offer: Offer) -> pb.Offer:
    """Renders an offer as it is stored: a field that follows a default of the gateway stays unset."""
    return pb.Offer(
        name=offer.name,
        tracking_url=offer.tracking_url,
        country=offer.country,
        max_wait=_duration(offer.max_wait),
        mode=offer.mode,
        merge_policy=offer.merge_policy,
        allow_params=offer.allow_params,
        deny_params=offer.deny_params,
        rename_params=[
            pb.ParameterRename(**{"from": rename.source, "to": rename.target}) for rename in offer.rename_params
        ],
        identity_params=offer.identity_params,
        fallback_url=offer.fallback_url,
        fallback_policy=offer.fallback_policy,
        landing_hosts=offer.landing_hosts,
        landing_statuses=offer.landing_statuses,
        blocked_landing=offer.blocked_landing,
        user_agent_policy=offer.user_agent_policy,
        allow_app_links=offer.allow_app_links,
        weight=offer.weight,
        join_window=times.to_duration(offer.join_window),
        webhook_url=offer.webhook_url,
        disabled=offer.disabled,
        create_time=times.to_timestamp(offer.create_time) if offer.create_time else None,
        update_time=times.to_timestamp(offer.update_time) if offer.update_time else None,
        etag=offer.etag,
    )


def offer_message(offer: Offer, *, default_max_wait: float) -> pb.Offer:
    """Renders an offer with every default filled in; `default_max_wait` is the gateway's, in seconds."""
    message = stored_offer_message(offer)
    if not message.HasField("max_wait"):
        message.max_wait.CopyFrom(times.to_duration(default_max_wait))
    if not message.identity_params:
        message.identity_params.extend(offer.identity_names)
    return message


def click_message(record: ClickRecord) -> pb.Click:
    """Renders the record of a click."""
    return pb.Click(
        click_id=record.click_id,
        offer=record.offer,
        status=number_of(pb.ClickStatus.DESCRIPTOR, record.status),
        answer=number_of(pb.Answer.DESCRIPTOR, record.answer or ""),
        reason=record.reason,
        start_time=times.to_timestamp(record.start_time),
        visitor_wait=_duration(record.visitor_wait),
        end_time=times.to_timestamp(record.end_time) if record.end_time else None,
        inbound_query=record.inbound_query,
        location=record.location,
        final_url=record.final_url,
        stop_reason=record.stop_reason,
        attempts=[_attempt(attempt) for attempt in record.attempts],
        hops=[_hop(hop) for hop in record.hops],
        params=[_source(source) for source in record.params],
        joined_click_id=record.joined_click_id,
        otel_trace_id=record.otel_trace_id,
    )


def health_message(health: OfferHealth) -> pb.OfferHealth:
    """Renders the health of an offer."""
    return pb.OfferHealth(
        offer=health.offer,
        period=times.to_duration(PERIOD_SECONDS),
        clicks=health.clicks,
        fallbacks=health.fallbacks,
        fallback_share=health.fallback_share,
        traces=health.traces,
        trace_time_p50=_duration(health.trace_time(0.5)),
        trace_time_p90=_duration(health.trace_time(0.9)),
        trace_time_p99=_duration(health.trace_time(0.99)),
        drifts=[_drift(drift) for drift in health.drifts],
        last_landing_url=health.last_landing,
        last_landing_time=_timestamp(health.last_landing_time) if health.last_landing else None,
        shape=pb.ChainShape(
            chains=health.shape.chains,
            hops=_usual_parts(health.shape.hops),
            landing_hosts=_usual_parts(health.shape.landing_hosts),
            blocked=_usual_parts(health.shape.blocked),
            params=_usual_parts(health.shape.params),
        ),
    )


def webhook_message(webhook: Undelivered) -> pb.Webhook:
    """Renders a delivery that its receiver has not taken."""
    return pb.Webhook(
        click_id=webhook.click_id,
        offer=webhook.offer,
        url=webhook.url,
        attempts=webhook.attempts,
        dead=webhook.dead,
        last_error=webhook.last_error,
        due_time=times.to_timestamp(webhook.due_time),
        create_time=times.to_timestamp(webhook.create_time),
    )


def _attempt(attempt: Attempt) -> pb.ClickAttempt:
    return pb.ClickAttempt(
        lease_id=attempt.lease_id,
        fence=attempt.fence,
        ip_address=attempt.ip_address,
        ip_port=attempt.ip_port,
        country=attempt.country,
        lease_wait=times.to_duration(attempt.lease_wait),
        trace_time=_duration(attempt.trace_time),
        outcome=attempt.outcome or "",
        failure_reason=attempt.failure_reason,
    )


def _hop(hop: Hop) -> common_pb2.Hop:
    return common_pb2.Hop(
        index=hop.index,
        url=hop.url,
        status=hop.status,
        next_url=hop.next_url,
        kind=number_of(_HOP_KIND, hop.kind),
        timing=common_pb2.Timing(
            dns=_duration(hop.dns),
            connect=_duration(hop.connect),
            tls=_duration(hop.tls),
            first_byte=_duration(hop.first_byte),
            total=_duration(hop.total),
        ),
        remote_address=hop.remote_address,
        http_version=hop.http_version,
        tls_version=hop.tls_version,
        bytes=hop.bytes,
        set_cookie_names=hop.set_cookie_names,
        error=hop.error,
        snippet=hop.snippet,
        attempt=hop.attempt,
    )


def _source(source: ParameterSource) -> pb.ParameterSource:
    return pb.ParameterSource(
        name=source.name,
        value=source.value,
        origin=number_of(pb.ParameterSource.Origin.DESCRIPTOR, source.origin),
        hop_index=source.hop_index,
        rule=source.rule,
    )


def _drift(drift: Drift) -> pb.ChainDrift:
    return pb.ChainDrift(
        kind=number_of(pb.ChainDrift.Kind.DESCRIPTOR, drift.deviation.kind),
        subject=drift.deviation.subject,
        detail=drift.deviation.detail,
        first_time=_timestamp(drift.first),
        last_time=_timestamp(drift.last),
        chains=drift.chains,
    )


def _usual_parts(shares: Mapping[str, float]) -> list[pb.UsualPart]:
    """Renders shares (0 to 1), the largest first."""
    return [
        pb.UsualPart(name=name, share=share)
        for name, share in sorted(shares.items(), key=lambda item: (-item[1], item[0]))
    ]


def _duration(seconds: float | None) -> Duration | None:
    return None if seconds is None else times.to_duration(seconds)


def _timestamp(unix_seconds: float) -> Timestamp:
    return times.to_timestamp(datetime.fromtimestamp(unix_seconds, UTC))
