"""Attempts against a store that a test holds up: grouped, counted against the shares, and given back once if unseen."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from services.pool_manager.leasing.attempts import Attempt, Attempts
from services.pool_manager.leasing.fair_share import Shares
from services.pool_manager.model.capacity import Usage
from services.pool_manager.model.leases import Grant, LeaseRequest, LeaseToken, Refusal
from services.pool_manager.model.proxies import Protocol, Proxy

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PROXY = Proxy("10.0.0.1", 8080, Protocol.HTTP, "default", "us")


class Store:
    """Grants `free` IPs, each statement once it is let through."""

    def __init__(self, free: int) -> None:
        self.free = free
        self.statements: list[int] = []
        self.returned: list[int] = []
        self.entered = asyncio.Event()
        self.open = asyncio.Event()

    async def lease(self, attempts: Sequence[Attempt]) -> Sequence[Grant | Refusal]:
        self.statements.append(len(attempts))
        self.entered.set()
        await self.open.wait()
        return [self._answer() for _ in attempts]

    async def return_unseen(self, tokens: Sequence[LeaseToken]) -> None:
        self.returned.extend(token.fence for token in tokens)

    async def usage(self, country: str) -> Usage:
        assert country == "us"
        return Usage(self.free, {"other": 1})

    def _answer(self) -> Grant | Refusal:
        if not self.free:
            return Refusal(None, NOW)
        self.free -= 1
        return Grant(LeaseToken(1, self.free + 1, "0" * 32), PROXY, NOW, NOW)


def request(name: str, offer: str = "offer") -> LeaseRequest:
    return LeaseRequest(name, "us", offer, "test", 30.0, 0.0)


async def test_what_comes_together_is_one_statement() -> None:
    store = Store(free=2)
    store.open.set()
    async with Attempts(store, Shares(store, weights={}, reserve=0.0)) as attempts:
        answers = await attempts.run_all([attempts.make(request(name)) for name in ("a", "b", "c")])
    assert store.statements == [3]
    assert [isinstance(answer, Grant) for answer in answers] == [True, True, False]
    assert store.returned == []


@pytest.mark.parametrize("together", [False, True])
async def test_what_a_cancelled_caller_would_have_got_is_given_back_once(together: bool) -> None:
    store = Store(free=1)
    async with Attempts(store, Shares(store, weights={}, reserve=0.0)) as attempts:
        attempt = attempts.make(request("a"))
        work = attempts.run_all([attempt]) if together else attempts.run(attempt)
        call = asyncio.ensure_future(work)
        await store.entered.wait()
        call.cancel()
        store.open.set()
        with pytest.raises(asyncio.CancelledError):
            await call
        while attempt.grant is None:
            await asyncio.sleep(0)
        attempts.settle(attempt)
        attempts.settle(attempt)
    assert store.returned == [1]


async def test_an_attempt_counts_against_the_share_of_its_offer_until_it_is_refused() -> None:
    store = Store(free=2)
    shares = Shares(store, weights={}, reserve=0.5)
    store.open.set()
    async with Attempts(store, shares) as attempts:
        # Half of the three would be its share, and one is the reserve.
        await attempts.look(request("first", "other"))
        await attempts.look(request("a"))
        store.free = 0
        begun = [attempts.make(request(name)) for name in ("a", "b")]
        assert not attempts.admits(request("c"))
        assert attempts.admits(request("c", "third"))
        assert all(isinstance(answer, Refusal) for answer in await attempts.run_all(begun))
        assert attempts.admits(request("c"))


async def test_an_attempt_that_may_only_repeat_takes_no_share() -> None:
    store = Store(free=2)
    async with Attempts(store, Shares(store, weights={}, reserve=0.5)) as attempts:
        await attempts.look(request("first", "other"))
        await attempts.look(request("a"))
        for name in "abcdef":
            assert attempts.make(request(name), repeat_only=True).repeat_only
        assert attempts.admits(request("c"))
