"""The gRPC service PoolManager: reads messages, checks them, asks the use case, writes messages."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar, cast

from grpc import aio

from clicktrace.common.v1 import common_pb2
from clicktrace.pool.v1 import pool_pb2, pool_pb2_grpc
from libs.common.enums import number_of
from libs.common.errors import ClicktraceError, database_unavailable
from libs.common.rpc import status
from libs.common.rpc.times import put_moment, to_seconds
from services.pool_manager import validation
from services.pool_manager.inventory.credentials import Credentials
from services.pool_manager.leasing.service import Leasing
from services.pool_manager.model.leases import Grant, HeartbeatRequest, Kept, LeaseRequest, Released, ReleaseRequest

FULL_NAME = pool_pb2.DESCRIPTOR.services_by_name["PoolManager"].full_name

Context = aio.ServicerContext[Any, Any]
Raw = TypeVar("Raw")
Request = TypeVar("Request")
Answer = TypeVar("Answer")
Message = TypeVar("Message", bound=Any)

# Seconds kept back from the caller's deadline, so that our answer arrives before it.
_MARGIN_SECONDS = 0.05
_MARGIN_SHARE = 0.2

_OUTCOMES: dict[int, str] = {number: name for name, number in pool_pb2.Outcome.items()}


class PoolManagerServicer(pool_pb2_grpc.PoolManagerServicer):
    """Serves leases."""

    def __init__(self, leasing: Leasing, credentials: Credentials) -> None:
        """Serves what `leasing` grants, with the credentials of each proxy."""
        self._leasing = leasing
        self._credentials = credentials

    async def Lease(self, request: pool_pb2.LeaseRequest, context: Context) -> pool_pb2.LeaseResponse:
        """Grants one IP."""
        asked = _lease_request(request)
        async with _before_deadline(context) as deadline:
            grant = await self._leasing.lease(asked, deadline)
        response = pool_pb2.LeaseResponse()
        self._put_lease(response, grant)
        return response

    async def Heartbeat(self, request: pool_pb2.HeartbeatRequest, context: Context) -> pool_pb2.HeartbeatResponse:
        """Renews a lease."""
        asked = _heartbeat_request(request)
        async with _before_deadline(context):
            kept = await self._leasing.heartbeat(asked)
        response = pool_pb2.HeartbeatResponse()
        _put_kept(response, kept)
        return response

    async def Release(self, request: pool_pb2.ReleaseRequest, context: Context) -> pool_pb2.ReleaseResponse:
        """Ends a lease."""
        asked = _release_request(request)
        async with _before_deadline(context):
            released = await self._leasing.release(asked)
        response = pool_pb2.ReleaseResponse()
        _put_released(response, released)
        return response

    async def BatchLease(self, request: pool_pb2.BatchLeaseRequest, context: Context) -> pool_pb2.BatchLeaseResponse:
        """Grants many IPs."""
        async with _before_deadline(context) as deadline:
            answers = await _batch(
                request.requests, _lease_request, lambda requests: self._leasing.lease_all(requests, deadline)
            )
        return _fill(pool_pb2.BatchLeaseResponse(), answers, self._put_lease)

    async def BatchHeartbeat(
        self, request: pool_pb2.BatchHeartbeatRequest, context: Context
    ) -> pool_pb2.BatchHeartbeatResponse:
        """Renews many leases."""
        async with _before_deadline(context):
            answers = await _batch(request.requests, _heartbeat_request, self._leasing.heartbeat_all)
        return _fill(pool_pb2.BatchHeartbeatResponse(), answers, _put_kept)

    async def BatchRelease(
        self, request: pool_pb2.BatchReleaseRequest, context: Context
    ) -> pool_pb2.BatchReleaseResponse:
        """Ends many leases."""
        async with _before_deadline(context):
            answers = await _batch(request.requests, _release_request, self._leasing.release_all)
        return _fill(pool_pb2.BatchReleaseResponse(), answers, _put_released)

    def _put_lease(self, response: pool_pb2.LeaseResponse, grant: Grant) -> None:
        lease, leased = response.lease, grant.proxy
        lease.lease_id = str(grant.token)
        lease.fence = grant.token.fence
        # Of a slot the gateway of its provider is dialled, with a session that belongs to this lease alone.
        dialled = self._credentials.dial(leased, grant.token.nonce)
        proxy = lease.proxy
        proxy.ip_address = dialled.host
        proxy.ip_port = dialled.port
        proxy.protocol = number_of(common_pb2.Protocol.DESCRIPTOR, dialled.protocol)
        proxy.username = dialled.username
        proxy.password = dialled.password
        proxy.provider = leased.provider
        proxy.country = leased.country
        put_moment(lease.expire_time, grant.expire_time)
        put_moment(response.db_time, grant.db_time)


@asynccontextmanager
async def _before_deadline(context: Context) -> AsyncIterator[float | None]:
    """Answers UNAVAILABLE shortly before the caller's deadline, rather than letting the caller find out by itself.

    Gives the moment (of the event loop's clock) until which a request may wait for an IP; None if it has no deadline.
    """
    remaining = cast("float | None", context.time_remaining())
    if remaining is None:
        yield None
        return
    margin = min(_MARGIN_SECONDS, remaining * _MARGIN_SHARE)
    last = asyncio.get_running_loop().time() + remaining - margin
    try:
        async with asyncio.timeout_at(last):
            # A request that waits until then gets the error that there is no IP, not that the database is slow.
            yield last - margin
    except TimeoutError as error:
        raise database_unavailable("the database did not answer before the deadline of the call") from error


async def _batch(
    items: Sequence[Raw],
    check: Callable[[Raw], Request],
    run: Callable[[Sequence[Request]], Awaitable[Sequence[Answer | ClicktraceError]]],
) -> Sequence[Answer | ClicktraceError]:
    """Runs those items that pass their check, and returns an answer or an error for each item, in order."""
    validation.batch_size(len(items))
    checked = [_attempt(check, item) for item in items]
    answers = iter(await run([item for item in checked if not isinstance(item, ClicktraceError)]))
    return [item if isinstance(item, ClicktraceError) else next(answers) for item in checked]


def _attempt(check: Callable[[Raw], Request], item: Raw) -> Request | ClicktraceError:
    try:
        return check(item)
    except ClicktraceError as error:
        return error


def _lease_request(message: pool_pb2.LeaseRequest) -> LeaseRequest:
    return validation.lease_request(
        request_id=message.request_id,
        country=message.country,
        offer=message.offer,
        holder=message.holder,
        ttl=_span(message, "ttl"),
        wait=_span(message, "wait"),
        click_id=message.click_id,
        asks_again=message.asks_again,
    )


def _heartbeat_request(message: pool_pb2.HeartbeatRequest) -> HeartbeatRequest:
    return validation.heartbeat_request(message.lease_id, message.fence, _span(message, "ttl"))


def _release_request(message: pool_pb2.ReleaseRequest) -> ReleaseRequest:
    return validation.release_request(
        lease_id=message.lease_id,
        fence=message.fence,
        outcome=_OUTCOMES.get(message.outcome, ""),
        failure_reason=message.failure_reason,
        trace_time=_span(message, "trace_time"),
        size=message.bytes,
        click_id=message.click_id,
    )


def _span(message: Any, field: str) -> float | None:
    """Returns a span of time in seconds; None if it was left out."""
    return to_seconds(getattr(message, field)) if message.HasField(field) else None


def _put_kept(response: pool_pb2.HeartbeatResponse, kept: Kept) -> None:
    put_moment(response.expire_time, kept.expire_time)
    put_moment(response.db_time, kept.db_time)


def _put_released(response: pool_pb2.ReleaseResponse, released: Released) -> None:
    put_moment(response.available_time, released.available_time)
    put_moment(response.db_time, released.db_time)


def _fill(message: Message, answers: Sequence[Answer | ClicktraceError], put: Callable[[Any, Answer], None]) -> Message:
    """Gives a batch's response a result for each answer; written in place, in half the time of putting it together."""
    for answer in answers:
        result = message.results.add()
        if isinstance(answer, ClicktraceError):
            result.error.CopyFrom(status.to_status(answer))
            continue
        try:
            put(result.response, answer)
        except ClicktraceError as error:
            # Such as a login that cannot travel: the others of the batch have theirs.
            result.error.CopyFrom(status.to_status(error))
    return message
