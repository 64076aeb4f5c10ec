"""One holder per IP: the use case that everything else serves.

Why two holders can never share an IP, from here down to the database:

1. The only writer of a grant is the function `pool.lease` (migrations/0007_fewer_queries.sql). It takes a row's lock
   before it grants it, skips rows that others have locked, and moves the row's `available_at` behind the end of the
   lease and of its cooldown before the lock is given up. So at most one lease of an IP is live at a time, whoever asks
   and where.
2. A lease is proved by its token: proxy, fence, nonce. The fence grows with every lease, and `pool.release` (there too)
   and `pool.heartbeat` (migrations/0005_linear.sql) change a row only if fence and nonce are those of its live lease.
   So an earlier holder cannot move, end or revive anything, however late its call comes.
3. The clock is that of the database alone, read after the row's lock was got. So a call that had to wait for a lock is
   judged by the time at which it is decided, not by that at which it was sent.
4. A repeated request finds the live lease under its `request_id`; an advisory lock on that id makes simultaneous
   repeats on several replicas queue up. So a retry never takes a second IP.
5. A grant whose caller has gone is given back at once, but only when every caller that was given it has gone: each
   answer counts one claim, and the last one back frees the IP.

Nothing is kept here that a crash could lose: replicas of this service share the database and nothing else. What arrives
while a statement is under way goes into the next one (`bulk`), one round trip per group.
"""

import asyncio
from collections.abc import Awaitable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self, TypeVar

from libs.common.errors import ClicktraceError, Code
from libs.common.process import logs
from services.pool_manager.leasing import lease_log
from services.pool_manager.leasing.bulk import Bulk
from services.pool_manager.leasing.fair_share import Shares
from services.pool_manager.leasing.wait_queue import NoTurn, OutlookStore, WaitingRoom
from services.pool_manager.model.leases import (
    CooldownPolicy,
    Grant,
    HeartbeatRequest,
    Kept,
    LeaseRequest,
    LeaseToken,
    NotHeld,
    Outcome,
    Refusal,
    Released,
    ReleaseRequest,
)
from services.pool_manager.validation import not_held

log = logs.get(__name__)

Answer = TypeVar("Answer")

# How often a request asks again at once for an IP that is free but locked.
_CONTENTION_TRIES = 5


@dataclass(slots=True)
class Ask:
    """One attempt to lease; `repeat_only` asks for the live lease of a repeated request and for no new one."""

    request: LeaseRequest
    repeat_only: bool
    grant: Grant | None = None
    """What the attempt got."""
    settled: bool = False
    """Whether the grant was given back."""


class LeaseStore(OutlookStore, Protocol):
    """Where leases live. Each method is one round trip and answers every item, in order.

    Raises UNAVAILABLE/DATABASE_UNAVAILABLE when the database does not answer.
    """

    async def lease(self, asks: Sequence[Ask]) -> Sequence[Grant | Refusal]:
        """Grants an IP to each request that can have one; requests with one `request_id` share one."""
        ...

    async def heartbeat(self, requests: Sequence[HeartbeatRequest]) -> Sequence[Kept | NotHeld]:
        """Moves the end of each lease that is live."""
        ...

    async def release(self, requests: Sequence[ReleaseRequest]) -> Sequence[Released | NotHeld]:
        """Ends each lease that is live, and repeats the answer for those that were released before."""
        ...

    async def return_unseen(self, tokens: Sequence[LeaseToken]) -> None:
        """Gives back one claim on each lease; the last one frees the IP without a cooldown."""
        ...


class Counting(Protocol):
    """Who counts what the database cannot see."""

    def refused(self, country: str) -> None:
        """Counts a request that got no IP."""
        ...

    def waited(self, country: str) -> None:
        """Counts a request that had to wait."""
        ...


class Observer(Protocol):
    """Is told what becomes of requests and leases."""

    def granted(self, request: LeaseRequest, grant: Grant, waited: float) -> None:
        """Takes note of a request that got its IP after so many seconds."""
        ...

    def refused(self, request: LeaseRequest, reason: str) -> None:
        """Takes note of a request that got none, and of the UPPER_SNAKE reason."""
        ...

    def waits(self, request: LeaseRequest, change: int) -> None:
        """Takes note of who begins to wait (1) and who waits no more (-1)."""
        ...

    def released(self, outcome: Outcome, released: Released) -> None:
        """Takes note of the end of a lease."""
        ...


class Leasing:
    """Leases IPs while it is entered as an async context manager, and finishes what it began before it leaves."""

    def __init__(
        self,
        store: LeaseStore,
        tally: Counting,
        *,
        observer: Observer | None = None,
        max_waiting: int = 1000,
        shares: Shares | None = None,
        weights: Mapping[str, float] | None = None,
        fallbacks: Mapping[str, Sequence[str]] | None = None,
        rules: Mapping[str, CooldownPolicy] | None = None,
    ) -> None:
        """Prepares leasing over a store.

        `max_waiting` bounds how many may wait for one country; `shares` bounds what an offer may take; `weights` are
        those of the offers that do not weigh 1; `fallbacks` names, for a country that has no IP free, the countries to
        try in its stead, in order; `rules` are those of the offers that need not wait for every rest.
        """
        self._store = store
        self._tally = tally
        self._observer = observer or _Nobody()
        self._shares = shares
        self._fallbacks = fallbacks or {}
        self._rules = rules or {}
        self._leases = Bulk(self._lease, name="lease", abandoned=lambda ask, _: self._settle(ask))
        self._heartbeats = Bulk(store.heartbeat, name="heartbeat")
        self._releases = Bulk(store.release, name="release")
        self._returns = Bulk(self._return_unseen, name="return")
        self._room = WaitingRoom(
            store,
            self._attempt,
            self._give_back,
            admits=self._admits,
            capacity=max_waiting,
            weights=weights or {},
        )
        self._tasks = asyncio.TaskGroup()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        # Left in reverse: what the last leases give back is still returned.
        await self._stack.enter_async_context(self._returns)
        await self._stack.enter_async_context(self._tasks)
        for part in (self._leases, self._heartbeats, self._releases):
            await self._stack.enter_async_context(part)
        await self._stack.enter_async_context(self._room)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    def freed(self) -> None:
        """Says that an IP may have come free, so that those who wait look again."""
        self._room.freed()

    async def lease(self, request: LeaseRequest, deadline: float | None = None) -> Grant:
        """Grants one IP, waiting for it as the request allows, and until `deadline` (the event loop's clock) at most.

        A caller that is cancelled meanwhile leaves no lease behind. Raises RESOURCE_EXHAUSTED/NO_AVAILABLE_IP, with the
        time to the next free IP if there will be one.
        """
        request = self._ruled(request)
        began = _now()
        return await self._observed(request, self._granted(request, _limit(request, began, deadline)), began)

    async def heartbeat(self, request: HeartbeatRequest) -> Kept:
        """Keeps a lease; raises FAILED_PRECONDITION/LEASE_LOST or NOT_FOUND/UNKNOWN_LEASE."""
        return _held(await self._heartbeats.submit(request))

    async def release(self, request: ReleaseRequest) -> Released:
        """Ends a lease; raises FAILED_PRECONDITION/LEASE_LOST or NOT_FOUND/UNKNOWN_LEASE."""
        answer = await self._releases.submit(request)
        self._observe_release(request, answer)
        return _held(answer)

    async def lease_all(
        self, requests: Sequence[LeaseRequest], deadline: float | None = None
    ) -> Sequence[Grant | ClicktraceError]:
        """Leases for many requests at once; a caller that is cancelled meanwhile leaves no lease behind."""
        began = _now()
        limits = [_limit(request, began, deadline) for request in requests]
        requests = [self._ruled(request) for request in requests]
        asks = [self._ask(request, repeat_only=await self._closed(request)) for request in requests]
        calls: list[tuple[int, asyncio.Task[Grant]]] = []
        answers: list[Grant | ClicktraceError] = []
        try:
            first = await self._leases.submit_all(asks)
            took = _now() - began
            for place, answer in enumerate(first):
                if isinstance(answer, Refusal):
                    # What follows is each one's own: to try again, to fall back on another country, to wait.
                    work = self._after_refusal(requests[place], answer, limits[place])
                    calls.append((place, asyncio.ensure_future(self._observed(requests[place], work, began))))
                    answers.append(no_available_ip(requests[place], answer.retry_after))
                else:
                    self._observe(requests[place], answer, took)
                    answers.append(answer)
            later = await asyncio.gather(*(call for _, call in calls), return_exceptions=True)
        except asyncio.CancelledError:
            for ask in asks:
                self._settle(ask)
            for place, call in calls:
                if call.done() and not call.cancelled() and call.exception() is None:
                    self._give_back(requests[place], call.result())
            raise
        for (place, _), outcome in zip(calls, later, strict=True):
            if isinstance(outcome, BaseException) and not isinstance(outcome, ClicktraceError):
                raise outcome
            answers[place] = outcome
        return answers

    async def heartbeat_all(self, requests: Sequence[HeartbeatRequest]) -> Sequence[Kept | ClicktraceError]:
        """Keeps many leases at once."""
        answers = await self._heartbeats.submit_all(requests)
        return [not_held(answer) if isinstance(answer, NotHeld) else answer for answer in answers]

    async def release_all(self, requests: Sequence[ReleaseRequest]) -> Sequence[Released | ClicktraceError]:
        """Ends many leases at once."""
        answers = await self._releases.submit_all(requests)
        for request, answer in zip(requests, answers, strict=True):
            self._observe_release(request, answer)
        return [not_held(answer) if isinstance(answer, NotHeld) else answer for answer in answers]

    async def _observed(self, request: LeaseRequest, work: Coroutine[None, None, Grant], began: float) -> Grant:
        """Runs what may grant an IP, and tells the observer what came of it."""
        try:
            grant = await work
        except ClicktraceError as error:
            self._observe(request, error, _now() - began)
            raise
        self._observe(request, grant, _now() - began)
        return grant

    def _observe(self, request: LeaseRequest, answer: Grant | ClicktraceError, waited: float) -> None:
        lease_log.leased(request, answer)
        if isinstance(answer, Grant):
            self._observer.granted(request, answer, waited)
        else:
            self._observer.refused(request, answer.reason)

    def _observe_release(self, request: ReleaseRequest, answer: Released | NotHeld | ClicktraceError) -> None:
        if isinstance(answer, Released):
            self._observer.released(request.outcome, answer)
        lease_log.released(request, not_held(answer) if isinstance(answer, NotHeld) else answer)

    async def _granted(self, request: LeaseRequest, limit: float) -> Grant:
        answer = await self._attempts(request)
        return answer if isinstance(answer, Grant) else await self._after_refusal(request, answer, limit)

    def _ruled(self, request: LeaseRequest) -> LeaseRequest:
        policy = self._rules.get(request.offer)
        return request if policy is None else request._replace(policy=policy)

    async def _after_refusal(self, request: LeaseRequest, refusal: Refusal, limit: float) -> Grant:
        """Does what else can be done for a request that was refused: falls back on another country, and waits."""
        if refusal.retry_after == 0:
            again = await self._attempts(request)
            if isinstance(again, Grant):
                return again
            refusal = again
        for country in self._fallbacks.get(request.country, ()):
            other = await self._attempts(request._replace(country=country))
            if isinstance(other, Grant):
                return other
        if not request.wait or self._room.full(request.demand):
            self._tally.refused(request.country)
            raise no_available_ip(request, refusal.retry_after, "and too many wait already" if request.wait else "")
        self._tally.waited(request.country)
        self._observer.waits(request, 1)
        try:
            waited = await self._room.wait(request, limit)
        finally:
            self._observer.waits(request, -1)
        if isinstance(waited, NoTurn):
            self._tally.refused(request.country)
            raise no_available_ip(request, waited.retry_after)
        return waited

    async def _attempts(self, request: LeaseRequest) -> Grant | Refusal:
        """Tries to lease at once; again, a few times, while an IP is free but locked by somebody else."""
        for _ in range(_CONTENTION_TRIES):
            closed = await self._closed(request)
            answer = await self._attempt(request, repeat_only=closed)
            if isinstance(answer, Grant) or closed or answer.retry_after != 0:
                break
        return answer

    async def _closed(self, request: LeaseRequest) -> bool:
        """Tells whether a free IP is for others: for those who wait already, or for offers below their share."""
        if self._shares is not None:
            await self._shares.look(request)
        return self._room.occupied(request.country) or not self._admits(request)

    def _admits(self, request: LeaseRequest) -> bool:
        return self._shares is None or self._shares.admits(request)

    def _attempt(self, request: LeaseRequest, *, repeat_only: bool = False) -> Awaitable[Grant | Refusal]:
        return self._submit(self._ask(request, repeat_only=repeat_only))

    def _ask(self, request: LeaseRequest, *, repeat_only: bool) -> Ask:
        # Counted at once, so that the next one to be judged is judged by it.
        if self._shares is not None and not repeat_only:
            self._shares.take(request)
        return Ask(request, repeat_only)

    async def _submit(self, ask: Ask) -> Grant | Refusal:
        try:
            return await self._leases.submit(ask)
        except asyncio.CancelledError:
            # The answer may have come in the same turn of the event loop as the cancel.
            self._settle(ask)
            raise

    async def _lease(self, asks: Sequence[Ask]) -> Sequence[Grant | Refusal]:
        answers = await self._store.lease(asks)
        for ask, answer in zip(asks, answers, strict=True):
            if isinstance(answer, Grant):
                ask.grant = answer
            elif self._shares is not None and not ask.repeat_only:
                self._shares.take(ask.request, -1)
        return answers

    async def _return_unseen(self, tokens: Sequence[LeaseToken]) -> Sequence[None]:
        await self._store.return_unseen(tokens)
        return [None] * len(tokens)

    def _settle(self, ask: Ask) -> None:
        """Gives back what an attempt got, once."""
        if ask.grant is not None and not ask.settled:
            ask.settled = True
            self._give_back(ask.request, ask.grant)

    def _give_back(self, request: LeaseRequest, grant: Grant) -> None:
        self._tasks.create_task(self._return(request, grant.token), name="return-unseen")

    async def _return(self, request: LeaseRequest, token: LeaseToken) -> None:
        try:
            await self._returns.submit(token)
        except ClicktraceError as error:
            log.warning(
                "lease.stranded",
                click_id=request.click_id or None,
                request_id=request.request_id,
                reason=error.reason,
                hint="it ends by its TTL",
            )
        else:
            log.info(
                "lease.returned",
                click_id=request.click_id or None,
                request_id=request.request_id,
                fence=token.fence,
            )


class _Nobody:
    """Takes note of nothing."""

    def granted(self, request: LeaseRequest, grant: Grant, waited: float) -> None:
        """Ignores a grant."""

    def refused(self, request: LeaseRequest, reason: str) -> None:
        """Ignores a refusal."""

    def waits(self, request: LeaseRequest, change: int) -> None:
        """Ignores who waits."""

    def released(self, outcome: Outcome, released: Released) -> None:
        """Ignores a release."""


def _now() -> float:
    return asyncio.get_running_loop().time()


def _limit(request: LeaseRequest, began: float, deadline: float | None) -> float:
    """Returns until when a request may wait, by the event loop's clock."""
    limit = began + request.wait
    return limit if deadline is None else min(limit, deadline)


def _held(answer: Answer | NotHeld) -> Answer:
    """Returns the answer to somebody who holds a lease; raises for somebody who does not."""
    if isinstance(answer, NotHeld):
        raise not_held(answer)
    return answer


def no_available_ip(request: LeaseRequest, retry_after: float | None, addition: str = "") -> ClicktraceError:
    """Returns the error for a request that no IP is free for; `retry_after` is None where none ever will be."""
    where = f"of country {request.country}" if request.country else "of any country"
    if retry_after is None:
        message = f"the pool has no usable IP {where}"
    else:
        message = f"no IP {where} is free; the next one is in {retry_after:.3f} s"
    if addition:
        message = f"{message}, {addition}"
    return ClicktraceError(Code.RESOURCE_EXHAUSTED, "NO_AVAILABLE_IP", message, retry_after=retry_after)
