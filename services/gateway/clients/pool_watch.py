"""Reads the pool manager's PoolAdmin for the console."""

import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Sequence
from typing import TypeVar

from google.protobuf.timestamp_pb2 import Timestamp
from grpc import aio

from clicktrace.pool.v1 import pool_pb2 as pb
from clicktrace.pool.v1 import pool_pb2_grpc
from libs.common.enums import name_of
from libs.common.errors import ClicktraceError, Code
from libs.common.rpc import status, times
from services.gateway.console.model import Cell, Period, PoolChange, SizeAnswer, SizeQuestion, StateCounts

_INTERVAL = 0.25
_CALL_TIMEOUT = 3.0
_PAGE = 1_000
_MOST_PAGES = 20

Response = TypeVar("Response")


class PoolSource:
    """Asks the pool managers behind one channel; all methods raise UNAVAILABLE/POOL_UNAVAILABLE when none answers."""

    def __init__(self, channel: aio.Channel, *, operator_token: str) -> None:
        """Works on a channel that its owner closes; shows `operator_token` unless it is empty."""
        self._stub = pool_pb2_grpc.PoolAdminStub(channel)
        self._metadata = (("authorization", f"Bearer {operator_token}"),) if operator_token else ()

    async def watch(self) -> AsyncGenerator[PoolChange, None]:
        """Yields the whole pool in pieces, then what changes, coalesced; ends when the pool manager ends it."""
        request = pb.WatchPoolRequest(interval=times.to_duration(_INTERVAL))
        call = self._stub.WatchPool(request, metadata=self._metadata)
        try:
            async for response in call:
                yield _change(response)
        except aio.AioRpcError as rpc_error:
            raise _translated(rpc_error) from None
        finally:
            call.cancel()

    async def periods(self, seconds: float) -> Sequence[Period]:
        """Returns the statistics of the last `seconds` of the whole pool, oldest first."""
        since = pb.ListStatisticsRequest(page_size=_PAGE)
        since.since.FromSeconds(int(time.time() - seconds))
        rows: list[pb.PoolStatistics] = []
        for _ in range(_MOST_PAGES):
            page = await _answer(self._stub.ListStatistics(since, timeout=_CALL_TIMEOUT, metadata=self._metadata))
            rows += page.statistics
            since.page_token = page.next_page_token
            if not since.page_token:
                break
        return _summed(rows)

    async def estimate(self, question: SizeQuestion) -> SizeAnswer:
        """Returns how many IPs a load needs.

        INVALID_ARGUMENT/INVALID_REQUEST where the last hour must say something and cannot.
        """
        request = pb.EstimatePoolSizeRequest(country=question.country, added_ips=question.added_ips)
        if question.clicks_per_second is not None:
            request.clicks_per_second = question.clicks_per_second
        if question.target_loss is not None:
            request.target_loss = question.target_loss
        if question.trace_time is not None:
            request.trace_time.CopyFrom(times.to_duration(question.trace_time))
        if question.cooldown is not None:
            request.cooldown.CopyFrom(times.to_duration(question.cooldown))
        answer = await _answer(self._stub.EstimatePoolSize(request, timeout=_CALL_TIMEOUT, metadata=self._metadata))
        used = answer.assumptions
        exhaustion = times.to_seconds(answer.time_to_exhaustion) if answer.HasField("time_to_exhaustion") else None
        return SizeAnswer(
            erlang_b_ips=answer.erlang_b_ips,
            rule_of_thumb_ips=answer.rule_of_thumb_ips,
            offered_load=answer.offered_load,
            present_ips=answer.present_ips,
            present_loss=answer.present_loss,
            time_to_exhaustion=exhaustion,
            clicks_per_second=used.clicks_per_second,
            trace_time=times.to_seconds(used.trace_time),
            cooldown=times.to_seconds(used.cooldown),
            target_loss=used.target_loss,
        )


async def _answer(call: Awaitable[Response]) -> Response:
    try:
        return await call
    except aio.AioRpcError as rpc_error:
        raise _translated(rpc_error) from None


def _translated(rpc_error: aio.AioRpcError) -> ClicktraceError:
    error = status.from_rpc_error(rpc_error)
    if error.code in (Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.CANCELLED):
        return ClicktraceError(Code.UNAVAILABLE, "POOL_UNAVAILABLE", "no pool manager answers")
    return error


def _change(response: pb.WatchPoolResponse) -> PoolChange:
    counted = response.status
    return PoolChange(
        at=_moment(counted, "db_time") or time.time(),
        total=_state_counts(counted.total),
        countries=[_state_counts(one) for one in counted.countries],
        cells=[_cell(info) for info in response.proxies],
        gone=list(response.deleted_proxy_ids),
    )


def _state_counts(counted: pb.PoolStatus) -> StateCounts:
    return StateCounts(
        country=counted.country,
        total=counted.total,
        available=counted.available,
        in_use=counted.in_use,
        cooldown=counted.cooldown,
        unhealthy=counted.unhealthy,
        drained=counted.drained,
        utilization=counted.utilization,
        next_available=_moment(counted, "next_available_time"),
    )


def _cell(info: pb.ProxyInfo) -> Cell:
    host = f"[{info.ip_address}]" if ":" in info.ip_address else info.ip_address
    return Cell(
        proxy_id=info.proxy_id,
        address=f"{host}:{info.ip_port}",
        country=info.country,
        provider=info.provider,
        state=name_of(pb.ProxyState.DESCRIPTOR, info.state),
        available_at=_moment(info, "available_time") or 0.0,
        cooldown=times.to_seconds(info.cooldown) if info.HasField("cooldown") else None,
        failures=info.consecutive_failures,
        fence=info.fence,
    )


def _summed(rows: Sequence[pb.PoolStatistics]) -> Sequence[Period]:
    """Joins the rows of all countries of a period; utilization is weighted by their sizes."""
    by_end: dict[float, list[pb.PoolStatistics]] = defaultdict(list)
    for row in rows:
        by_end[_seconds(row.end_time)].append(row)
    periods = []
    for end, group in sorted(by_end.items()):
        size = sum(row.total for row in group)
        length = end - min(_seconds(row.start_time) for row in group)
        if size and length > 0:
            used = sum(row.utilization * row.total for row in group) / size
            periods.append(Period(end, used, sum(row.grants for row in group) / length))
    return periods


def _moment(message: pb.GetPoolStatusResponse | pb.PoolStatus | pb.ProxyInfo, field: str) -> float | None:
    return _seconds(getattr(message, field)) if message.HasField(field) else None


def _seconds(moment: Timestamp) -> float:
    return times.to_datetime(moment).timestamp()
