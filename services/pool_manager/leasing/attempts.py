"""Single attempts to lease: grouped into statements, counted against the shares, and given back if unseen.

What arrives while a statement is under way goes into the next one, one round trip per group.
"""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from libs.common.batching import Grouper
from libs.common.errors import ClicktraceError
from libs.common.process import logs
from services.pool_manager.leasing.fair_share import Shares
from services.pool_manager.model.leases import Grant, LeaseRequest, LeaseToken, Refusal

log = logs.get(__name__)

MAX_STATEMENT = 128
"""Items per statement. Larger ones gain little, and while one is under way answers of the one before are written."""


@dataclass(slots=True)
class Attempt:
    """One attempt to lease. `repeat_only` asks for the live lease of a repeated request and for no new one."""

    request: LeaseRequest
    repeat_only: bool
    grant: Grant | None = None
    """The result of the attempt."""
    settled: bool = False
    """Whether the grant was given back."""


class GrantStore(Protocol):
    """Grants IPs and takes unseen grants back. Each method is one round trip.

    Raises UNAVAILABLE/DATABASE_UNAVAILABLE when the database does not answer.
    """

    async def lease(self, attempts: Sequence[Attempt]) -> Sequence[Grant | Refusal]:
        """Answers each attempt, in order; attempts with one `request_id` share one IP."""
        ...

    async def return_unseen(self, tokens: Sequence[LeaseToken]) -> None:
        """Gives back one claim on each lease; the last one frees the IP without a cooldown."""
        ...


class Attempts:
    """Runs attempts while it is entered as an async context manager, and gives back before it leaves."""

    def __init__(self, store: GrantStore, shares: Shares) -> None:
        """Leases from `store`, judged by `shares`."""
        self._store = store
        self._shares = shares
        self._leases: Grouper[Attempt, Grant | Refusal] = Grouper(
            self._lease, max_group=MAX_STATEMENT, name="lease", abandoned=lambda attempt, _: self.settle(attempt)
        )
        self._returns: Grouper[LeaseToken, None] = Grouper(self._return_unseen, max_group=MAX_STATEMENT, name="return")
        self._tasks = asyncio.TaskGroup()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        # Left in reverse: what the last leases give back is still returned.
        for part in (self._returns, self._tasks, self._leases):
            await self._stack.enter_async_context(part)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    async def look(self, request: LeaseRequest) -> None:
        """Records a request of an offer, so that its share counts."""
        await self._shares.look(request)

    async def recount(self, country: str) -> None:
        """Counts a country again for requests that the last count holds back."""
        await self._shares.recount(country)

    def admits(self, request: LeaseRequest) -> bool:
        """Returns whether the share of its offer lets a request take a free IP."""
        return self._shares.admits(request)

    def make(self, request: LeaseRequest, *, repeat_only: bool = False) -> Attempt:
        """Returns an attempt, counted against the share of its offer at once, so that the next one is judged by it."""
        if not repeat_only:
            self._shares.take(request)
        return Attempt(request, repeat_only)

    async def run(self, attempt: Attempt) -> Grant | Refusal:
        """Runs one attempt. A caller that is cancelled leaves no lease behind."""
        try:
            return await self._leases.submit(attempt)
        except asyncio.CancelledError:
            # The answer may have come in the same turn of the event loop as the cancel.
            self.settle(attempt)
            raise

    async def run_all(self, attempts: Sequence[Attempt]) -> Sequence[Grant | Refusal | ClicktraceError]:
        """Runs attempts that came together. A caller that is cancelled leaves no lease behind."""
        try:
            return await self._leases.submit_all(attempts)
        except asyncio.CancelledError:
            for attempt in attempts:
                self.settle(attempt)
            raise

    def settle(self, attempt: Attempt) -> None:
        """Gives back what an attempt got. Idempotent."""
        if attempt.grant is not None and not attempt.settled:
            attempt.settled = True
            self.give_back(attempt.request, attempt.grant)

    def give_back(self, request: LeaseRequest, grant: Grant) -> None:
        """Gives back a grant whose caller has gone, in the background. Only once for each answer."""
        self._tasks.create_task(self._return(request, grant.token), name="return-unseen")

    async def _lease(self, attempts: Sequence[Attempt]) -> Sequence[Grant | Refusal]:
        answers = await self._store.lease(attempts)
        for attempt, answer in zip(attempts, answers, strict=True):
            if isinstance(answer, Grant):
                attempt.grant = answer
            elif not attempt.repeat_only:
                self._shares.take(attempt.request, -1)
        return answers

    async def _return_unseen(self, tokens: Sequence[LeaseToken]) -> Sequence[None]:
        await self._store.return_unseen(tokens)
        return [None] * len(tokens)

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
