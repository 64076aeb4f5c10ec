"""Leases from the pool: granted, renewed and released in batches, each held for exactly as long as its block runs."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self, TypeVar

from grpc import aio

from clicktrace.common.v1 import common_pb2
from clicktrace.pool.v1 import pool_pb2 as pb
from clicktrace.pool.v1 import pool_pb2_grpc
from libs.common.batching import Grouper
from libs.common.enums import name_of
from libs.common.errors import ClicktraceError, Code
from libs.common.observability import spans
from libs.common.process import logs
from libs.common.process.tasks import Background
from libs.common.rpc import status, times
from libs.common.rpc.reach import Reach
from services.gateway.model import LeaseWanted, Outcome, Proxy

log = logs.get(__name__)

_MAX_GROUP = 1_000
_CALL_SECONDS = 3.0
_RELEASE_TRIES = 5
_RELEASE_PAUSE_SECONDS = 0.2
_MAX_POOL_WAIT_SECONDS = 60.0
_REFUSAL_SECONDS = 0.5
# The first call takes a part of the wait, and an IP that comes in the last tenth of a second serves no visitor.
_ALIKE_SECONDS = 0.1
_GONE = ("LEASE_LOST", "UNKNOWN_LEASE")

Response = TypeVar("Response")


@dataclass(slots=True)
class HeldLease:
    """A lease on one IP. It is held until `deadline`, which heartbeats move.

    Moments are in seconds by the event loop's clock; `trace_time` is in seconds.
    """

    lease_id: str
    fence: int
    proxy: Proxy
    click_id: str
    asked: float
    """When the call that last renewed it began, by the event loop's clock."""
    deadline: float
    outcome: Outcome = Outcome.CANCELLED
    failure_reason: str = ""
    target_host: str = ""
    trace_time: float = 0.0
    bytes: int = 0
    lost: bool = False
    _timeout: asyncio.Timeout | None = field(default=None, repr=False)

    def set_outcome(
        self,
        outcome: Outcome,
        *,
        reason: str = "",
        target_host: str = "",
        trace_time: float = 0.0,
        transferred: int = 0,
    ) -> None:
        """Sets the outcome reported on exit; CANCELLED by default. `trace_time` in seconds, `transferred` in bytes."""
        self.outcome = outcome
        self.failure_reason = reason
        self.target_host = target_host
        self.trace_time = trace_time
        self.bytes = transferred

    def extend(self, asked: float, deadline: float) -> None:
        """Moves the end to `deadline` after a heartbeat that began at `asked`; seconds by the event loop's clock."""
        self.asked = asked
        self.deadline = deadline
        if self._timeout is not None and not self._timeout.expired():
            self._timeout.reschedule(deadline)

    def lose(self) -> None:
        """Ends the block at once, because the lease is lost."""
        self.lost = True
        if self._timeout is not None and not self._timeout.expired():
            self._timeout.reschedule(asyncio.get_running_loop().time())

    def bind(self, timeout: asyncio.Timeout) -> None:
        """Sets the timeout that ends the block."""
        self._timeout = timeout


class _RefusalCache:
    """Caches for 0.5 s per country the longest wait the pool refused, so that a flood of clicks does not ask again."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, float]] = {}

    def learn(self, country: str, wait: float) -> None:
        """Adds a wait in seconds that the pool refused at once."""
        self._known[country] = (wait, asyncio.get_running_loop().time() + _REFUSAL_SECONDS)

    def holds(self, country: str, wait: float) -> bool:
        """Returns whether a wait of `wait` seconds would be refused."""
        refused, until = self._known.get(country, (0.0, 0.0))
        return wait <= refused + _ALIKE_SECONDS and asyncio.get_running_loop().time() < until


class PoolClient:
    """Holds leases while it is entered as an async context manager.

    Requests of all clicks that come while a call is under way travel in the next one. A lease is held by this process's
    clock: from before the call that granted it, for its TTL less a margin.
    """

    def __init__(self, channel: aio.Channel, *, holder: str, ttl: float) -> None:
        """Leases as `holder`; each lease has a TTL of `ttl` seconds, and is renewed once older than TTL/3."""
        # The generated class decides by the kind of channel what it is; the checker sees the async one.
        self._stub = pool_pb2_grpc.PoolManagerStub(channel)
        self._reach = Reach(channel)
        self._holder = holder
        self._ttl = ttl
        self._margin = min(2.0, ttl / 5)
        self._leases: Grouper[pb.LeaseRequest, HeldLease] = Grouper(
            self._batch_lease,
            max_group=_MAX_GROUP,
            name="lease.group",
            abandoned=lambda _request, held: self._give_back(held),
        )
        self._releases: Grouper[pb.ReleaseRequest, None] = Grouper(
            self._batch_release, max_group=_MAX_GROUP, name="release.group"
        )
        self._refusals = _RefusalCache()
        self._held: dict[str, HeldLease] = {}
        self._returning = Background(limit=100_000)
        self._beating = Background(limit=1)

    async def __aenter__(self) -> Self:
        await self._leases.__aenter__()
        await self._releases.__aenter__()
        self._beating.start(self._beat(), name="heartbeats")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Waits for releases under way, then stops."""
        await self._leases.__aexit__(kind, error, traceback)
        await self._returning.drain(_CALL_SECONDS)
        await self._releases.__aexit__(kind, error, traceback)
        await self._beating.drain(0)

    @asynccontextmanager
    async def lease(self, wanted: LeaseWanted) -> AsyncIterator[HeldLease]:
        """Holds one IP while the block runs, then releases it with the outcome that `set_outcome` was given.

        Raises RESOURCE_EXHAUSTED/NO_AVAILABLE_IP when none will be free in `wanted.wait` seconds, and UNAVAILABLE or
        DEADLINE_EXCEEDED with reason POOL_UNAVAILABLE or POOL_TIMEOUT. A lease that is lost cancels what the block
        waits for, and the block is left with FAILED_PRECONDITION/LEASE_LOST.
        """
        with spans.child("lease") as span:
            try:
                held = await self._acquire(wanted)
            except ClicktraceError as error:
                spans.fail(span, error.reason)
                raise
        self._held[held.lease_id] = held
        timeout = asyncio.timeout_at(held.deadline)
        try:
            async with timeout:
                held.bind(timeout)
                yield held
        except TimeoutError:
            if not timeout.expired():
                raise
            held.set_outcome(Outcome.CANCELLED, reason="LEASE_LOST", trace_time=held.trace_time, transferred=held.bytes)
            raise ClicktraceError(
                Code.FAILED_PRECONDITION, "LEASE_LOST", "the lease on the IP ended before its trace did"
            ) from None
        finally:
            del self._held[held.lease_id]
            self._give_back(held)

    async def _acquire(self, wanted: LeaseWanted) -> HeldLease:
        # Known before the first call, which tells the pool whether a second one follows.
        is_hopeless = self._refusals.holds(wanted.country, wanted.wait)
        request = pb.LeaseRequest(
            request_id=wanted.request_id,
            country=wanted.country,
            offer=wanted.offer,
            holder=self._holder,
            ttl=times.to_duration(self._ttl),
            click_id=wanted.click_id,
            asks_again=wanted.wait > 0 and not is_hopeless,
        )
        loop = asyncio.get_running_loop()
        until = loop.time() + wanted.wait
        try:
            # Nobody in a batch may wait for an IP, or all would: one that has to wait asks again alone.
            return await self._submit(request)
        except ClicktraceError as error:
            wait = min(until - loop.time(), _MAX_POOL_WAIT_SECONDS)
            if error.reason != "NO_AVAILABLE_IP" or error.retry_after is None or wait <= 0:
                raise
            # IPs in use come back long before their leases end, so only the pool knows whether one may come in time.
            if error.retry_after > wait and is_hopeless:
                raise
            refused = error
        began = loop.time()
        try:
            return await self._wait_for_one(request, wait, refused)
        except ClicktraceError as error:
            if error.reason == "NO_AVAILABLE_IP" and loop.time() - began < wait / 2:
                self._refusals.learn(wanted.country, wait)
            raise

    async def _submit(self, request: pb.LeaseRequest) -> HeldLease:
        try:
            return await self._leases.submit(request)
        except ClicktraceError as error:
            if error.reason != "POOL_UNAVAILABLE":
                raise
            # A replica that went away in the middle; another one knows by the request id whether it had granted.
            if not await self._reach.wait(_CALL_SECONDS):
                raise
            return await self._leases.submit(request)

    async def _wait_for_one(self, request: pb.LeaseRequest, wait: float, refused: ClicktraceError) -> HeldLease:
        """Leases an IP that has to be waited for, up to `wait` seconds. Raises `refused` if none comes in that time."""
        request.wait.CopyFrom(times.to_duration(wait))
        # The TTL begins when the IP is granted, our clock when we ask: the wait is added, so that the lease is not
        # over for us when it comes.
        ttl = self._ttl + wait
        request.ttl.CopyFrom(times.to_duration(ttl))
        asked = asyncio.get_running_loop().time()
        call = self._stub.Lease(request, timeout=wait + _CALL_SECONDS)
        granted: asyncio.Future[HeldLease] = asyncio.get_running_loop().create_future()
        # The call outlives a caller who gives up: a cancel cannot stop an answer that has left already, and an IP that
        # nobody knows of would be held until its TTL is over.
        self._returning.start(self._settle(granted, request, call, asked, ttl), name=f"lease:{request.request_id}")
        try:
            async with asyncio.timeout(wait):
                return await granted
        except TimeoutError:
            # The pool said that there was none; its second answer, which says it again, is on its way at best.
            raise refused from None

    async def _settle(
        self,
        granted: "asyncio.Future[HeldLease]",
        request: pb.LeaseRequest,
        call: "aio.UnaryUnaryCall[pb.LeaseRequest, pb.LeaseResponse]",
        asked: float,
        ttl: float,
    ) -> None:
        """Passes the answer of a Lease call to its waiter; releases the lease if there is none any more."""
        try:
            held = self._granted(request, await _translated(call), asked, ttl)
        except ClicktraceError as error:
            if not granted.done():
                granted.set_exception(error)
            return
        if granted.done():
            self._give_back(held)
        else:
            granted.set_result(held)

    async def _batch_lease(self, requests: Sequence[pb.LeaseRequest]) -> Sequence[HeldLease | Exception]:
        asked = asyncio.get_running_loop().time()
        call = self._stub.BatchLease(pb.BatchLeaseRequest(requests=requests), timeout=_CALL_SECONDS)
        response = await _translated(call)
        return [
            self._granted(request, result.response, asked, self._ttl)
            if result.HasField("response")
            else status.from_status(result.error)
            for request, result in zip(requests, response.results, strict=True)
        ]

    def _granted(self, request: pb.LeaseRequest, response: pb.LeaseResponse, asked: float, ttl: float) -> HeldLease:
        lease = response.lease
        return HeldLease(
            lease_id=lease.lease_id,
            fence=lease.fence,
            proxy=_proxy(lease.proxy),
            click_id=request.click_id,
            asked=asked,
            deadline=asked + ttl - self._margin,
        )

    async def _beat(self) -> None:
        """Renews all leases that are older than a third of their TTL, in one call, until it is cancelled."""
        while True:
            await asyncio.sleep(self._ttl / 6)
            now = asyncio.get_running_loop().time()
            due = [held for held in self._held.values() if now - held.asked >= self._ttl / 3]
            for start in range(0, len(due), _MAX_GROUP):
                try:
                    await self._batch_heartbeat(due[start : start + _MAX_GROUP])
                except ClicktraceError as error:
                    # Each lease ends by its own clock if no later heartbeat gets through.
                    log.warning("heartbeat.failed", reason=error.reason, leases=len(due))
                except Exception:
                    # Whatever it is, without heartbeats every long trace would be lost from now on.
                    log.exception("heartbeat.failed", reason="INTERNAL_ERROR", leases=len(due))

    async def _batch_heartbeat(self, leases: Sequence[HeldLease]) -> None:
        asked = asyncio.get_running_loop().time()
        ttl = times.to_duration(self._ttl)
        requests = [pb.HeartbeatRequest(lease_id=held.lease_id, fence=held.fence, ttl=ttl) for held in leases]
        call = self._stub.BatchHeartbeat(pb.BatchHeartbeatRequest(requests=requests), timeout=self._ttl / 3)
        response = await _translated(call)
        if len(response.results) != len(leases):
            raise ClicktraceError(Code.INTERNAL, "POOL_MISCOUNTED", "the pool answered another number of heartbeats")
        for held, result in zip(leases, response.results, strict=True):
            if self._held.get(held.lease_id) is not held:
                # Its block was left while the heartbeat was on its way.
                continue
            if result.HasField("response"):
                held.extend(asked, asked + self._ttl - self._margin)
                continue
            error = status.from_status(result.error)
            log.warning("heartbeat.refused", lease_id=held.lease_id, reason=error.reason)
            if error.reason in _GONE:
                held.lose()

    def _give_back(self, held: HeldLease) -> None:
        """Releases in the background, so that neither a visitor nor a cancelled task waits for it."""
        if not held.lost:
            self._returning.start(self._release(held), name=f"release:{held.lease_id}")

    async def _release(self, held: HeldLease) -> None:
        request = pb.ReleaseRequest(
            lease_id=held.lease_id,
            fence=held.fence,
            outcome=held.outcome,
            failure_reason=held.failure_reason[:128],
            trace_time=times.to_duration(held.trace_time),
            bytes=held.bytes,
            click_id=held.click_id,
            target_host=held.target_host,
        )
        reason = ""
        for attempt in range(_RELEASE_TRIES):
            await asyncio.sleep(_RELEASE_PAUSE_SECONDS * attempt)
            with spans.child("release") as span:
                try:
                    await self._releases.submit(request)
                except ClicktraceError as error:
                    reason = error.reason
                    spans.fail(span, reason)
                    if reason in _GONE:
                        break
                else:
                    return
        log.warning("release.failed", lease_id=held.lease_id, reason=reason, hint="its IP comes back by the TTL")

    async def _batch_release(self, requests: Sequence[pb.ReleaseRequest]) -> Sequence[Exception | None]:
        call = self._stub.BatchRelease(pb.BatchReleaseRequest(requests=requests), timeout=_CALL_SECONDS)
        response = await _translated(call)
        return [
            None if result.HasField("response") else status.from_status(result.error) for result in response.results
        ]


async def _translated(call: Awaitable[Response]) -> Response:
    """Awaits a call; translates transport errors to POOL_UNAVAILABLE and POOL_TIMEOUT."""
    try:
        return await call
    except aio.AioRpcError as rpc_error:
        error = status.from_rpc_error(rpc_error)
        if error.reason == Code.UNAVAILABLE.name:
            raise ClicktraceError(error.code, "POOL_UNAVAILABLE", "no pool manager can be reached") from None
        if error.reason == Code.DEADLINE_EXCEEDED.name:
            raise ClicktraceError(error.code, "POOL_TIMEOUT", "the pool manager did not answer in time") from None
        raise error from None


def _proxy(proxy: common_pb2.Proxy) -> Proxy:
    return Proxy(
        ip_address=proxy.ip_address,
        ip_port=proxy.ip_port,
        protocol=name_of(common_pb2.Protocol.DESCRIPTOR, proxy.protocol),
        username=proxy.username,
        password=proxy.password,
        provider=proxy.provider,
        country=proxy.country,
    )
