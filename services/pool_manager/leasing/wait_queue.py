"""The wait queue: requests that wait for an IP, one line for each demand.

One worker serves all lines of this replica. It knows when the next IPs of a line come free (the availability forecast),
sleeps until that moment, and then asks for exactly as many as are due; what others took meanwhile shows in the next
forecast. The forecast is read again when the database notifies of an IP that came free early, and otherwise every half
second. That is often enough for releases on other replicas: their IPs cool down longer, or the database notifies.

Within a line offers take turns by weight, so a noisy offer waits for itself; within an offer it is first come, first
served. A request that cannot be served before its limit is refused at once.
"""

import asyncio
import contextlib
import itertools
from bisect import bisect_left, bisect_right, insort
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self

from libs.common.errors import ClicktraceError
from libs.common.process import logs
from services.pool_manager.leasing.attempts import Attempts
from services.pool_manager.model.capacity import AvailabilityForecast
from services.pool_manager.model.leases import Demand, Grant, LeaseRequest, Refusal

log = logs.get(__name__)

# Age in seconds up to which a forecast is used.
_FORECAST_SECONDS = 0.5
# The pause after an IP was due and somebody else had it locked, and after the database did not answer.
_CONTENTION_SECONDS = 0.005
_TROUBLE_SECONDS = 0.2
# The pause while what is free is kept for offers below their share.
_SHARE_SECONDS = 0.1


class ForecastStore(Protocol):
    """Forecasts when IPs come free."""

    async def forecast(self, demand: Demand, count: int) -> AvailabilityForecast:
        """Returns when the next `count` IPs come free if no lease is released early.

        Raises UNAVAILABLE/DATABASE_UNAVAILABLE.
        """
        ...


@dataclass(frozen=True, slots=True)
class NoTurn:
    """Refuses a waiter whose turn cannot come, or did not come, in time."""

    retry_after: float | None
    """Seconds to the next free IP; None if there will be none."""


@dataclass(slots=True, order=True)
class _Waiter:
    turn: float
    number: int
    request: LeaseRequest = field(compare=False)
    limit: float = field(compare=False)
    answer: "asyncio.Future[Grant | NoTurn]" = field(compare=False)


class _Line:
    """Requests that wait for the same IPs, by turn. Times are seconds of the event loop's clock."""

    def __init__(self, demand: Demand) -> None:
        self.demand = demand
        self.waiters: list[_Waiter] = []
        self.due: list[float] = []
        self.least_cooldown = 0.0
        self.looked = float("-inf")
        self.pause_until = 0.0
        self.trouble: ClicktraceError | None = None
        self._served = 0.0
        self._last_turn: dict[str, float] = {}

    def join(self, request: LeaseRequest, limit: float, number: int, weight: float) -> _Waiter:
        """Adds a waiter: behind those of its own offer, and in turn with those of others."""
        # Start-time fair queueing: an offer that was idle begins at the present turn, not with a credit.
        turn = max(self._served, self._last_turn.get(request.offer, 0.0)) + 1.0 / weight
        self._last_turn[request.offer] = turn
        waiter = _Waiter(turn, number, request, limit, asyncio.get_running_loop().create_future())
        insort(self.waiters, waiter)
        return waiter

    def leave(self, waiter: _Waiter) -> None:
        """Removes a waiter. Idempotent."""
        index = bisect_left(self.waiters, waiter)
        if index < len(self.waiters) and self.waiters[index] is waiter:
            del self.waiters[index]

    def serve(self, waiter: _Waiter, grant: Grant) -> None:
        """Gives a waiter its grant."""
        self._served = max(self._served, waiter.turn)
        self.leave(waiter)
        waiter.answer.set_result(grant)

    def update(self, forecast: AvailabilityForecast, now: float) -> None:
        """Stores a new forecast that was read at `now`."""
        self.due = [now + delay for delay in forecast.delays]
        self.least_cooldown = forecast.least_cooldown
        self.looked = now
        self.trouble = None

    def out_of_time(self, now: float) -> list[_Waiter]:
        """Returns the waiters that cannot be served in time, even if every lease were released now."""
        early = now + self.least_cooldown if self.due else float("inf")
        return [
            waiter
            for place, waiter in enumerate(self.waiters)
            if waiter.limit < early and bisect_right(self.due, waiter.limit) <= place
        ]

    def no_turn(self) -> NoTurn:
        """Returns the refusal for a waiter that gets no IP."""
        return NoTurn(max(0.0, self.due[0] - asyncio.get_running_loop().time()) if self.due else None)

    def next_event(self) -> float:
        """Returns when this line has to be served next."""
        soonest = self.due[0] if self.due else float("inf")
        return max(self.pause_until, min(soonest, self.looked + _FORECAST_SECONDS))


class WaitQueue:
    """Lets requests wait for an IP; works while it is entered as an async context manager."""

    def __init__(
        self, store: ForecastStore, attempts: Attempts, *, capacity: int, weights: Mapping[str, float]
    ) -> None:
        """Prepares an empty queue.

        `capacity` is the largest number of waiters of one line; `weights` are those of offers that do not weigh 1.
        """
        self._store = store
        self._attempts = attempts
        self._capacity = capacity
        self._weights = weights
        self._lines: dict[Demand, _Line] = {}
        self._numbers = itertools.count()
        self._wake = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._worker = asyncio.create_task(self._work(), name="wait-queue")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._worker is not None:
            self._worker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._worker

    def occupies(self, country: str) -> bool:
        """Returns whether a free IP of this country belongs to a waiter."""
        return any(demand.country in {"", country} for demand in self._lines)

    def is_full(self, demand: Demand) -> bool:
        """Returns whether the line of this demand is full."""
        line = self._lines.get(demand)
        return line is not None and len(line.waiters) >= self._capacity

    def freed(self) -> None:
        """Invalidates the forecasts: an IP may have come free."""
        for line in self._lines.values():
            line.looked = float("-inf")
        if self._lines:
            self._wake.set()

    async def wait(self, request: LeaseRequest, limit: float) -> "Grant | NoTurn":
        """Waits for an IP until `limit` (seconds of the event loop's clock) at most.

        Raises UNAVAILABLE/DATABASE_UNAVAILABLE when the database did not answer at the end.
        """
        line = self._lines.setdefault(request.demand, _Line(request.demand))
        waiter = line.join(request, limit, next(self._numbers), self._weights.get(request.offer, 1.0))
        self._wake.set()
        try:
            async with asyncio.timeout_at(limit):
                return await waiter.answer
        except TimeoutError:
            if (answer := _result_of(waiter)) is not None:
                return answer
            if line.trouble is not None:
                raise line.trouble from None
            return line.no_turn()
        except asyncio.CancelledError:
            # The grant may have come in the same turn of the event loop as the cancel.
            if isinstance(answer := _result_of(waiter), Grant):
                self._attempts.give_back(request, answer)
            raise
        finally:
            self._depart(line, waiter)

    def _depart(self, line: _Line, waiter: _Waiter) -> None:
        line.leave(waiter)
        if not line.waiters and self._lines.get(line.demand) is line:
            del self._lines[line.demand]

    async def _work(self) -> None:
        while True:
            now = asyncio.get_running_loop().time()
            until = min((line.next_event() for line in self._lines.values() if line.waiters), default=None)
            if until is None or until > now:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout_at(until):
                        await self._wake.wait()
            self._wake.clear()
            # In order of their first waiters, so that the line for any country does not always come first or last.
            busy = [line for line in self._lines.values() if line.waiters]
            for line in sorted(busy, key=lambda line: line.waiters[0].number):
                await self._serve(line)

    async def _serve(self, line: _Line) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() < line.pause_until:
            return
        try:
            # Also when there are more waiters than the forecast has IPs.
            if loop.time() - line.looked >= _FORECAST_SECONDS or len(line.due) < len(line.waiters):
                line.update(await self._store.forecast(line.demand, len(line.waiters) + 1), loop.time())
            for waiter in line.out_of_time(loop.time()):
                line.leave(waiter)
                if not waiter.answer.done():
                    waiter.answer.set_result(line.no_turn())
            if count := min(bisect_right(line.due, loop.time()), len(line.waiters)):
                await self._hand_out(line, count)
        except ClicktraceError as error:
            line.trouble = error
            line.pause_until = loop.time() + _TROUBLE_SECONDS
        except Exception:
            # The failure is that of one line; the worker must live on for the others, and for this one's next look.
            log.exception("waiting.failed", country=line.demand.country, offer=line.demand.offer)
            line.pause_until = loop.time() + _TROUBLE_SECONDS

    async def _hand_out(self, line: _Line, count: int) -> None:
        """Leases up to `count` IPs for the waiters that are first in turn."""
        attempts = self._begin_attempts(line, count)
        if not attempts:
            # Other replicas release too, and nothing else recounts while all are waiting.
            await self._attempts.recount(line.demand.country)
            attempts = self._begin_attempts(line, count)
        if not attempts:
            line.pause_until = asyncio.get_running_loop().time() + _SHARE_SECONDS
            return
        answers = await asyncio.gather(*(attempt for _, attempt in attempts), return_exceptions=True)
        granted = 0
        trouble: BaseException | None = None
        for (waiter, _), answer in zip(attempts, answers, strict=True):
            if isinstance(answer, BaseException):
                trouble = answer
            elif isinstance(answer, Grant):
                granted += 1
                if waiter.answer.done():
                    self._attempts.give_back(waiter.request, answer)
                else:
                    line.serve(waiter, answer)
        del line.due[:granted]
        if trouble is not None:
            raise trouble
        if granted < len(attempts):
            line.looked = float("-inf")
            line.pause_until = asyncio.get_running_loop().time() + _CONTENTION_SECONDS

    def _begin_attempts(self, line: _Line, count: int) -> "list[tuple[_Waiter, Awaitable[Grant | Refusal]]]":
        """Begins up to `count` attempts for waiters whose offers are within their shares."""
        begun: list[tuple[_Waiter, Awaitable[Grant | Refusal]]] = []
        for waiter in line.waiters:
            if len(begun) < count and self._attempts.admits(waiter.request):
                begun.append((waiter, self._attempts.run(self._attempts.make(waiter.request))))
        return begun


def _result_of(waiter: _Waiter) -> "Grant | NoTurn | None":
    return waiter.answer.result() if waiter.answer.done() and not waiter.answer.cancelled() else None
