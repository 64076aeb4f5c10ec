"""Short ways to use the store of leases in tests, and to hold it up."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import asyncpg

from services.pool_manager.db.leases import PostgresLeases
from services.pool_manager.db.pool import PostgresPool
from services.pool_manager.leasing.attempts import Attempt
from services.pool_manager.model.leases import (
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
from services.pool_manager.model.operations import AuditEntry
from services.pool_manager.model.proxies import Protocol, ProxySpec

Pool = asyncpg.Pool
RECORD = AuditEntry("test", "PROVISION", {})


def request(
    request_id: str, *, country: str = "us", ttl: float = 30.0, offer: str = "", wait: float = 0.0
) -> LeaseRequest:
    """Makes a request with usual values."""
    return LeaseRequest(request_id, country, offer, "test", ttl, wait)


async def lease(store: PostgresLeases, request_id: str, *, country: str = "us", ttl: float = 30.0) -> Grant:
    """Leases one IP that must be there."""
    answer = await try_lease(store, request_id, country=country, ttl=ttl)
    assert isinstance(answer, Grant), answer
    return answer


async def try_lease(
    store: PostgresLeases, request_id: str, *, country: str = "us", ttl: float = 30.0
) -> Grant | Refusal:
    """Asks for one IP."""
    (answer,) = await store.lease([Attempt(request(request_id, country=country, ttl=ttl), repeat_only=False)])
    return answer


async def heartbeat(store: PostgresLeases, token: LeaseToken, *, ttl: float = 30.0) -> Kept | NotHeld:
    """Keeps one lease."""
    (answer,) = await store.heartbeat([HeartbeatRequest(token, ttl)])
    return answer


async def release(store: PostgresLeases, token: LeaseToken, outcome: Outcome = Outcome.SUCCESS) -> Released | NotHeld:
    """Ends one lease."""
    (answer,) = await store.release([ReleaseRequest(token, outcome, "", 1.5, 1000)])
    return answer


async def provision(
    store: PostgresPool, count: int, *, country: str = "us", cooldown: float | None = None, provider: str = "luna"
) -> None:
    """Adds proxies `proxy-COUNTRY-N`."""
    specs = [
        ProxySpec(f"proxy-{country}-{number}", 7000, Protocol.HTTP, provider, country, cooldown)
        for number in range(1, count + 1)
    ]
    await store.provision(specs, RECORD)


async def clock(pool: Pool) -> datetime:
    """Returns the database's clock."""
    now: datetime = await pool.fetchval("SELECT clock_timestamp()")
    return now


async def until(pool: Pool, moment: datetime) -> None:
    """Waits until the database's clock has passed `moment`."""
    await pool.execute("SELECT pg_sleep(greatest(0, extract(epoch FROM $1 - clock_timestamp())) + 0.002)", moment)


async def rows(pool: Pool, sql: str, *args: Any) -> Sequence[dict[str, Any]]:
    """Reads rows as dictionaries."""
    return [dict(row) for row in await pool.fetch(sql, *args)]


@asynccontextmanager
async def row_locked(pool: Pool, proxy_id: int) -> AsyncIterator["Blocker"]:
    """Holds the row of a proxy locked while the block runs."""
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("SELECT FROM pool.proxies WHERE id = $1 FOR UPDATE", proxy_id)
        pid = await connection.fetchval("SELECT pg_backend_pid()")
        try:
            yield Blocker(pool, pid)
        finally:
            await transaction.rollback()


class Blocker:
    """Knows who waits for its lock."""

    def __init__(self, pool: Pool, pid: int) -> None:
        self._pool = pool
        self._pid = pid

    async def blocks(self) -> None:
        """Returns when somebody waits."""
        async with asyncio.timeout(10):
            while not await self._pool.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE $1 = ANY (pg_blocking_pids(pid))", self._pid
            ):
                await asyncio.sleep(0.005)
