"""Translates operators' messages to and from the model."""

from datetime import datetime
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from clicktrace.common.v1 import common_pb2
from clicktrace.pool.v1 import pool_pb2
from libs.common.enums import name_of, number_of
from libs.common.errors import Violation
from libs.common.rpc.times import to_datetime, to_duration, to_seconds, to_timestamp
from services.pool_manager.capacity.erlang import Estimate, Load, PartialLoad
from services.pool_manager.model.capacity import PoolStatus, StateCounts, Statistics
from services.pool_manager.model.leases import LeaseFilter, LeaseInfo
from services.pool_manager.model.proxies import Protocol, ProxyAction, ProxyFilter, ProxyInfo, ProxySpec, ProxyState
from services.pool_manager.validation import check_country, check_name

_STATES: dict[int, ProxyState] = {pool_pb2.ProxyState.Value(state.name): state for state in ProxyState}
_ACTIONS: dict[int, ProxyAction] = {pool_pb2.ProxyAction.Value(action.name): action for action in ProxyAction}


def span(message: Any, field: str) -> float | None:
    """Returns a Duration field in seconds; None if it was left out."""
    value: Duration = getattr(message, field)
    return to_seconds(value) if message.HasField(field) else None


def moment(message: Any, field: str) -> datetime | None:
    """Returns a Timestamp field; None if it was left out."""
    value: Timestamp = getattr(message, field)
    return to_datetime(value) if message.HasField(field) else None


def proxy_spec(spec: pool_pb2.ProxySpec) -> ProxySpec:
    """Reads a proxy to add."""
    return ProxySpec(
        ip_address=spec.ip_address,
        ip_port=spec.ip_port,
        country=spec.country,
        provider=spec.provider,
        protocol=Protocol(name_of(common_pb2.Protocol.DESCRIPTOR, spec.protocol) or Protocol.HTTP),
        cooldown=span(spec, "cooldown"),
    )


def country(violations: list[Violation], value: str, field: str = "country") -> str:
    """Reads a country; it may be empty."""
    return check_country(violations, field, value) if value else ""


def proxy_filter(violations: list[Violation], message: pool_pb2.ProxyFilter) -> ProxyFilter:
    """Reads a filter of proxies."""
    check_name(violations, "filter.provider", message.provider)
    check_name(violations, "filter.ip_address", message.ip_address, 253)
    if message.state not in {pool_pb2.PROXY_STATE_UNSPECIFIED, *_STATES}:
        violations.append(
            Violation("filter.state", f"unknown ProxyState {message.state}; use {', '.join(ProxyState.__members__)}")
        )
    return ProxyFilter(
        country=country(violations, message.country, "filter.country"),
        provider=message.provider,
        state=_STATES.get(message.state),
        ip_address=message.ip_address.lower(),
    )


def proxy_action(violations: list[Violation], value: int) -> ProxyAction:
    """Reads an operation on proxies."""
    if value not in _ACTIONS:
        violations.append(Violation("action", f"must be one of {', '.join(ProxyAction.__members__)}"))
    return _ACTIONS.get(value, ProxyAction.DRAIN)


def lease_filter(violations: list[Violation], message: pool_pb2.ListLeasesRequest) -> LeaseFilter:
    """Reads a filter of leases."""
    check_name(violations, "ip_address", message.ip_address, 253)
    check_name(violations, "offer", message.offer)
    check_name(violations, "holder", message.holder)
    return LeaseFilter(
        include_past=message.include_past,
        ip_address=message.ip_address.lower(),
        offer=message.offer,
        holder=message.holder,
        country=country(violations, message.country),
        since=moment(message, "since"),
        until=moment(message, "until"),
    )


def partial_load(message: pool_pb2.EstimatePoolSizeRequest) -> PartialLoad:
    """Reads a load; 0 means left out."""
    return PartialLoad(
        clicks_per_second=message.clicks_per_second or None,
        trace_time=span(message, "trace_time"),
        cooldown=span(message, "cooldown"),
        target_loss=message.target_loss or None,
        peak_concurrent=message.peak_concurrent or None,
        buffer=message.buffer or None,
    )


def pool_status(counts: StateCounts) -> pool_pb2.PoolStatus:
    """Renders the state counts of a country."""
    return pool_pb2.PoolStatus(
        country=counts.country,
        total=counts.total,
        available=counts.available,
        in_use=counts.in_use,
        cooldown=counts.cooldown,
        unhealthy=counts.unhealthy,
        drained=counts.drained,
        utilization=counts.utilization,
        next_available_time=None if counts.next_available is None else to_timestamp(counts.next_available),
    )


def status_response(status: PoolStatus) -> pool_pb2.GetPoolStatusResponse:
    """Renders the state counts of the pool."""
    return pool_pb2.GetPoolStatusResponse(
        total=pool_status(status.total),
        countries=[pool_status(counts) for counts in status.countries],
        db_time=to_timestamp(status.db_time),
    )


def proxy_info(info: ProxyInfo) -> pool_pb2.ProxyInfo:
    """Writes a proxy as operators see it."""
    return pool_pb2.ProxyInfo(
        proxy_id=info.proxy_id,
        ip_address=info.proxy.ip_address,
        ip_port=info.proxy.ip_port,
        protocol=number_of(common_pb2.Protocol.DESCRIPTOR, info.proxy.protocol),
        country=info.proxy.country,
        provider=info.proxy.provider,
        state=number_of(pool_pb2.ProxyState.DESCRIPTOR, info.state.name),
        available_time=to_timestamp(info.available_at),
        consecutive_failures=info.consecutive_failures,
        fence=info.fence,
        cooldown=None if info.cooldown is None else to_duration(info.cooldown),
        is_healthy=info.is_healthy,
        drained=info.drained,
        exit_address=info.exit_address,
        exit_country=info.exit_country,
    )


def lease_info(info: LeaseInfo) -> pool_pb2.LeaseInfo:
    """Writes a lease as operators see it."""
    return pool_pb2.LeaseInfo(
        lease_id=str(info.token),
        fence=info.token.fence,
        proxy_id=info.token.proxy_id,
        ip_address=info.ip_address,
        ip_port=info.ip_port,
        country=info.country,
        provider=info.provider,
        request_id=info.request_id,
        offer=info.offer,
        holder=info.holder,
        grant_time=to_timestamp(info.granted_at),
        expire_time=to_timestamp(info.expires_at),
        release_time=None if info.ended_at is None else to_timestamp(info.ended_at),
        outcome=number_of(pool_pb2.Outcome.DESCRIPTOR, info.outcome or ""),
        failure_reason=info.failure_reason,
        live=info.live,
        revoked=info.revoked,
    )


def statistics(row: Statistics) -> pool_pb2.PoolStatistics:
    """Writes a statistics row."""
    return pool_pb2.PoolStatistics(
        country=row.country,
        start_time=to_timestamp(row.start_at),
        end_time=to_timestamp(row.end_at),
        total=row.total,
        available=row.available,
        utilization=row.utilization,
        grants=row.grants,
        refusals=row.refusals,
        waits=row.waits,
        mean_trace_time=None if row.mean_trace_time is None else to_duration(row.mean_trace_time),
        proxy_failures=row.proxy_failures,
        estimated_cost=row.estimated_cost,
    )


def estimate_response(
    asked: pool_pb2.EstimatePoolSizeRequest, load: Load, result: Estimate
) -> pool_pb2.EstimatePoolSizeResponse:
    """Writes an estimate, with the values that were used."""
    left = result.time_to_exhaustion
    return pool_pb2.EstimatePoolSizeResponse(
        erlang_b_ips=result.erlang_b_ips,
        rule_of_thumb_ips=result.rule_of_thumb_ips,
        offered_load=result.offered_load,
        present_ips=result.present_ips,
        present_loss=result.present_loss,
        assumptions=pool_pb2.EstimatePoolSizeRequest(
            country=asked.country.lower(),
            clicks_per_second=load.clicks_per_second,
            trace_time=to_duration(load.trace_time),
            cooldown=to_duration(load.cooldown),
            target_loss=load.target_loss,
            peak_concurrent=load.peak,
            buffer=load.buffer,
            added_ips=asked.added_ips,
        ),
        time_to_exhaustion=None if left is None else to_duration(left),
    )
