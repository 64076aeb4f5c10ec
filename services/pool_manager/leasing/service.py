"""Grants, renews and ends leases: one holder per IP.

Why two holders can never share an IP, from here down to the database:

1. The only writer of a grant is the function `pool.lease` (db/functions/pool.lease.sql). It takes a row's lock before
   it grants it, skips rows that others have locked, and moves the row's `available_at` behind the end of the lease and
   of its cooldown before the lock is given up. So at most one lease of an IP is live at a time, whoever asks and where.
2. A lease is proved by its token: proxy, fence, nonce. The fence grows with every lease, and `pool.release` and
   `pool.heartbeat` (in the files beside that one) change a row only if fence and nonce are those of its live lease. So
   an earlier holder cannot move, end or revive anything, however late its call comes.
3. The clock is that of the database alone, read after the row's lock was got. So a call that had to wait for a lock is
   judged by the time at which it is decided, not by that at which it was sent.
4. A repeated request finds the live lease under its `request_id`; an advisory lock on that id makes simultaneous
   repeats on several replicas queue up. So a retry never takes a second IP.
5. A grant whose caller has gone is given back at once, but only when every caller that was given it has gone: each
   answer counts one claim, and the last one back frees the IP.

Nothing is kept here that a crash could lose: replicas of this service share the database and nothing else.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from types import TracebackType
from typing import Protocol, Self, TypeVar

from libs.common.batching import Grouper
from libs.common.errors import ClicktraceError
from services.pool_manager.leasing import lease_log
from services.pool_manager.leasing.attempts import MAX_STATEMENT, Attempts, GrantStore
from services.pool_manager.leasing.fair_share import Shares
from services.pool_manager.leasing.wait_queue import ForecastStore, NoTurn, WaitQueue
from services.pool_manager.model.errors import no_available_ip, not_held
from services.pool_manager.model.leases import (
    CooldownPolicy,
    Grant,
    HeartbeatRequest,
    Kept,
    LeaseRequest,
    NotHeld,
    Outcome,
    Refusal,
    Released,
    ReleaseRequest,
)

Answer = TypeVar("Answer")

# How often a request asks again at once for an IP that is free but locked.
_CONTENTION_TRIES = 5


class LeaseStore(GrantStore, ForecastStore, Protocol):
    """Stores leases. Each method is one round trip and answers every item, in order.

    Raises UNAVAILABLE/DATABASE_UNAVAILABLE when the database does not answer.
    """

    async def heartbeat(self, requests: Sequence[HeartbeatRequest]) -> Sequence[Kept | NotHeld]:
        """Moves the end of each lease that is live."""
        ...

    async def release(self, requests: Sequence[ReleaseRequest]) -> Sequence[Released | NotHeld]:
        """Ends each lease that is live, and repeats the answer for those that were released before."""
        ...


class Counting(Protocol):
    """Counts refusals and waits for the statistics."""

    def refused(self, country: str) -> None:
        """Counts a request that got no IP."""
        ...

    def waited(self, country: str) -> None:
        """Counts a request that had to wait."""
        ...


class Observer(Protocol):
    """Receives the ends of requests and leases."""

    def granted(self, request: LeaseRequest, grant: Grant, waited: float) -> None:
        """Receives a grant, `waited` seconds after the request."""
        ...

    def refused(self, request: LeaseRequest, reason: str) -> None:
        """Receives a refusal with its UPPER_SNAKE reason."""
        ...

    def waits(self, request: LeaseRequest, change: int) -> None:
        """Receives the beginning (1) or end (-1) of a wait."""
        ...

    def released(self, outcome: Outcome, released: Released) -> None:
        """Receives the end of a lease."""
        ...


class Leasing:
    """Leases IPs while it is entered as an async context manager, and finishes what it began before it leaves."""

    def __init__(
        self,
        store: LeaseStore,
        tally: Counting,
        observer: Observer,
        shares: Shares,
        *,
        max_waiting: int = 1000,
        weights: Mapping[str, float] | None = None,
        fallbacks: Mapping[str, Sequence[str]] | None = None,
        policies: Mapping[str, CooldownPolicy] | None = None,
    ) -> None:
        """Prepares to lease.

        `max_waiting` bounds how many wait for one country; `weights` are those of offers that do not weigh 1;
        `fallbacks` are the countries to try in place of one that has no free IP; `policies` are the cooldown
        policies of the offers that have their own.
        """
        self._tally = tally
        self._observer = observer
        self._fallbacks = fallbacks or {}
        self._policies = policies or {}
        self._attempts = Attempts(store, shares)
        self._queue = WaitQueue(store, self._attempts, capacity=max_waiting, weights=weights or {})
        self._heartbeats: Grouper[HeartbeatRequest, Kept | NotHeld] = Grouper(
            store.heartbeat, max_group=MAX_STATEMENT, name="heartbeat"
        )
        self._releases: Grouper[ReleaseRequest, Released | NotHeld] = Grouper(
            store.release, max_group=MAX_STATEMENT, name="release"
        )
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        for part in (self._attempts, self._heartbeats, self._releases, self._queue):
            await self._stack.enter_async_context(part)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    def freed(self) -> None:
        """Wakes the requests that wait: an IP may have come free."""
        self._queue.freed()

    async def lease(self, request: LeaseRequest, deadline: float | None = None) -> Grant:
        """Grants one IP as `lease_all` does; raises the error instead of returning it.

        `deadline` is in seconds by the event loop's clock; None for no deadline.
        """
        (answer,) = await self.lease_all((request,), deadline)
        return _raised(answer)

    async def lease_all(
        self, requests: Sequence[LeaseRequest], deadline: float | None = None
    ) -> Sequence[Grant | ClicktraceError]:
        """Grants each request an IP or returns its error, in order.

        Requests wait as long as they allow, and until `deadline` (seconds of the event loop's clock) at most. A caller
        that is cancelled meanwhile leaves no lease behind. The error is RESOURCE_EXHAUSTED/NO_AVAILABLE_IP, with the
        time to the next free IP if there will be one, or UNAVAILABLE/DATABASE_UNAVAILABLE.
        """
        began = _now()
        requests = [self._with_policy(request) for request in requests]
        attempts = [self._attempts.make(request, repeat_only=await self._is_reserved(request)) for request in requests]
        answers: list[Grant | ClicktraceError] = []
        refused: dict[int, asyncio.Task[Grant | ClicktraceError]] = {}
        try:
            for place, answer in enumerate(await self._attempts.run_all(attempts)):
                if isinstance(answer, Refusal):
                    # What follows is each one's own: to try again, to fall back on another country, to wait.
                    work = self._after_refusal(requests[place], answer, began, deadline)
                    refused[place] = asyncio.create_task(work, name="lease-after-refusal")
                    answers.append(no_available_ip(requests[place], answer.retry_after))
                else:
                    self._observe(requests[place], answer, _now() - began)
                    answers.append(answer)
            if refused:
                for place, answer in zip(refused, await asyncio.gather(*refused.values()), strict=True):
                    answers[place] = answer
        except BaseException:
            for attempt in attempts:
                self._attempts.settle(attempt)
            for place, task in refused.items():
                task.add_done_callback(partial(self._give_back, requests[place]))
                task.cancel()
            raise
        return answers

    async def heartbeat(self, request: HeartbeatRequest) -> Kept:
        """Renews a lease; raises FAILED_PRECONDITION/LEASE_LOST or NOT_FOUND/UNKNOWN_LEASE."""
        (answer,) = await self.heartbeat_all((request,))
        return _raised(answer)

    async def heartbeat_all(self, requests: Sequence[HeartbeatRequest]) -> Sequence[Kept | ClicktraceError]:
        """Renews leases; returns the answer or error of each, in order."""
        answers = await self._heartbeats.submit_all(requests)
        return [not_held(answer) if isinstance(answer, NotHeld) else answer for answer in answers]

    async def release(self, request: ReleaseRequest) -> Released:
        """Ends a lease; raises FAILED_PRECONDITION/LEASE_LOST or NOT_FOUND/UNKNOWN_LEASE."""
        (answer,) = await self.release_all((request,))
        return _raised(answer)

    async def release_all(self, requests: Sequence[ReleaseRequest]) -> Sequence[Released | ClicktraceError]:
        """Ends leases; returns the answer or error of each, in order."""
        held = await self._releases.submit_all(requests)
        answers = [not_held(answer) if isinstance(answer, NotHeld) else answer for answer in held]
        for request, answer in zip(requests, answers, strict=True):
            if isinstance(answer, Released):
                self._observer.released(request.outcome, answer)
            lease_log.released(request, answer)
        return answers

    def _with_policy(self, request: LeaseRequest) -> LeaseRequest:
        policy = self._policies.get(request.offer)
        return request if policy is None else request._replace(policy=policy)

    async def _after_refusal(
        self, request: LeaseRequest, refusal: Refusal, began: float, deadline: float | None
    ) -> Grant | ClicktraceError:
        """Retries a refused request where that can help, and reports the answer."""
        limit = began + request.wait
        try:
            answer = await self._retried(request, refusal, limit if deadline is None else min(limit, deadline))
        except ClicktraceError as error:
            answer = error
        self._observe(request, answer, _now() - began)
        return answer

    async def _retried(self, request: LeaseRequest, refusal: Refusal, limit: float) -> Grant | ClicktraceError:
        """Tries again, falls back on another country, and waits until `limit` (seconds of the event loop's clock)."""
        if refusal.retry_after == 0:
            again = await self._try(request)
            if isinstance(again, Grant):
                return again
            refusal = again
        for country in self._fallbacks.get(request.country, ()):
            other = await self._try(request._replace(country=country))
            if isinstance(other, Grant):
                return other
        if _asks_again(request, refusal.retry_after):
            return no_available_ip(request, refusal.retry_after)
        if not request.wait or self._queue.is_full(request.demand):
            self._tally.refused(request.country)
            return no_available_ip(request, refusal.retry_after, "and too many wait already" if request.wait else "")
        self._tally.waited(request.country)
        self._observer.waits(request, 1)
        try:
            waited = await self._queue.wait(request, limit)
        finally:
            self._observer.waits(request, -1)
        if isinstance(waited, NoTurn):
            self._tally.refused(request.country)
            return no_available_ip(request, waited.retry_after)
        return waited

    async def _try(self, request: LeaseRequest) -> Grant | Refusal:
        """Tries to lease at once; again, a few times, while an IP is free but locked by somebody else."""
        for _ in range(_CONTENTION_TRIES):
            repeat_only = await self._is_reserved(request)
            answer = await self._attempts.run(self._attempts.make(request, repeat_only=repeat_only))
            if isinstance(answer, Grant) or repeat_only or answer.retry_after != 0:
                break
        return answer

    async def _is_reserved(self, request: LeaseRequest) -> bool:
        """Returns whether free IPs are for others: for requests that wait already, or for offers below their share."""
        await self._attempts.look(request)
        return self._queue.occupies(request.country) or not self._attempts.admits(request)

    def _observe(self, request: LeaseRequest, answer: Grant | ClicktraceError, waited: float) -> None:
        if isinstance(answer, ClicktraceError) and _asks_again(request, answer.retry_after):
            return
        lease_log.leased(request, answer)
        if isinstance(answer, Grant):
            self._observer.granted(request, answer, waited)
        else:
            self._observer.refused(request, answer.reason)

    def _give_back(self, request: LeaseRequest, done: "asyncio.Task[Grant | ClicktraceError]") -> None:
        """Gives back the grant of a task whose caller was cancelled."""
        if not done.cancelled() and done.exception() is None and isinstance(grant := done.result(), Grant):
            self._attempts.give_back(request, grant)


def _asks_again(request: LeaseRequest, retry_after: float | None) -> bool:
    """Returns whether the caller asks once more after a refusal, so that its need for an IP is counted then."""
    return request.asks_again and not request.wait and retry_after is not None


def _now() -> float:
    return asyncio.get_running_loop().time()


def _raised(answer: Answer | ClicktraceError) -> Answer:
    """Returns an answer; raises an error."""
    if isinstance(answer, ClicktraceError):
        raise answer
    return answer
