"""Others that lease proxies from PostgreSQL, for `bench.pool`.

`by_transaction` is the usual way with the records that ours keeps, `bare_updates` the least there can be;
`python -m bench.peers.pool_peers DATABASE_URL SECONDS` measures pharox, the nearest library of
PyPI, in a process of its own, as its documentation shows it: threads, one manager, a proxy for one lease at a time.
"""

import json
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeAlias
from uuid import uuid4

import asyncpg
from pharox import ProxyManager
from pharox.exceptions import ProxyUnavailableError
from pharox.models import Proxy, ProxyProtocol, ProxyStatus
from pharox.storage.postgres import PostgresStorage, metadata, pool_table
from sqlalchemy import create_engine

THREADS = 16
PROXIES = 1_000

_FREE = """
    FROM pool.proxies WHERE country = 'us' AND is_healthy AND NOT drained AND available_at <= now()
    ORDER BY available_at LIMIT 1 FOR UPDATE SKIP LOCKED
"""
_TAKE = f"SELECT id, ip_address, ip_port, protocol, provider, country {_FREE}"
_MARK = """
    UPDATE pool.proxies SET
        fence = nextval('pool.fences'), nonce = gen_random_uuid(), request_id = $2, offer = '', holder = 'bench',
        granted_at = now(), expires_at = now() + interval '30 s', available_at = now() + interval '90 s',
        ended_at = NULL, ending = NULL
    WHERE id = $1 RETURNING fence, nonce
"""
_OWN = """
    SELECT FROM pool.proxies
    WHERE id = $1 AND fence = $2 AND nonce = $3 AND ending IS NULL AND expires_at > clock_timestamp() FOR UPDATE
"""
_END = """
    WITH ended AS (
        UPDATE pool.proxies SET ending = 'RELEASED', ended_at = now(), available_at = now(), consecutive_failures = 0
        WHERE id = $1 RETURNING *
    )
    INSERT INTO pool.leases (fence, nonce, proxy_id, ip_address, ip_port, country, provider,
        request_id, offer, holder, granted_at, expires_at, ended_at, ending, outcome)
    SELECT fence, nonce, id, ip_address, ip_port, country, provider,
        request_id, offer, holder, granted_at, expires_at, ended_at, ending, 'SUCCESS'
    FROM ended
"""
_BARE_LEASE = f"""
    UPDATE pool.proxies SET expires_at = now() + interval '30 s', available_at = now() + interval '90 s'
    WHERE id = (SELECT id {_FREE}) RETURNING id
"""  # noqa: S608 - ours
_BARE_RELEASE = "UPDATE pool.proxies SET available_at = now() WHERE id = $1 AND expires_at > now()"

Connections: TypeAlias = "asyncpg.Pool[asyncpg.Record]"


async def by_transaction(connections: Connections, request_id: str) -> int:
    """Leases and releases one IP, a transaction each, and keeps what ours keeps: owner, token, fence and history.

    It promises less all the same: a repeated request takes another IP, and a lease that dies under the lock of its
    release may come back.
    """
    async with connections.acquire() as connection, connection.transaction():
        proxy = await connection.fetchrow(_TAKE)
        if proxy is None:
            return 0
        token = await connection.fetchrow(_MARK, proxy["id"], request_id)
    async with connections.acquire() as connection, connection.transaction():
        if token is not None and await connection.fetchrow(_OWN, proxy["id"], *token) is not None:
            await connection.execute(_END, proxy["id"])
    return 1


async def bare_updates(connections: Connections) -> int:
    """Leases and releases one IP, one UPDATE each: no owner, no token, no history, nothing to repeat or to prove."""
    async with connections.acquire() as connection:
        proxy_id = await connection.fetchval(_BARE_LEASE)
    async with connections.acquire() as connection:
        await connection.execute(_BARE_RELEASE, proxy_id)
    return 1


@contextmanager
def manager(url: str) -> Iterator[ProxyManager]:
    """A manager of pharox over a fresh pool."""
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"), pool_size=THREADS)
    metadata.create_all(engine)
    storage = PostgresStorage(engine)
    pool_id = uuid4()
    with engine.begin() as connection:
        connection.execute(pool_table.insert().values(id=pool_id, name="bench"))
    storage.ensure_consumer("bench")
    storage.add_proxies_bulk(
        [
            Proxy(
                host=f"10.0.{number // 250}.{number % 250 + 1}",
                port=7000,
                protocol=ProxyProtocol.HTTP,
                pool_id=pool_id,
                status=ProxyStatus.ACTIVE,
                max_concurrency=1,
            )
            for number in range(PROXIES)
        ]
    )
    yield ProxyManager(storage=storage)
    engine.dispose()


def pharox(url: str, seconds: float) -> tuple[float, float]:
    """Returns the pairs a second, and the share of the attempts that failed though hundreds of proxies were free."""
    with manager(url) as leases:
        end = time.perf_counter() + seconds

        def caller(_: int) -> tuple[int, int]:
            pairs = failures = 0
            while time.perf_counter() < end:
                try:
                    lease = leases.acquire_proxy(pool_name="bench", consumer_name="bench", duration_seconds=30)
                except ProxyUnavailableError:
                    lease = None
                if lease is None:
                    failures += 1
                else:
                    leases.release_proxy(lease)
                    pairs += 1
            return pairs, failures

        began = time.perf_counter()
        with ThreadPoolExecutor(THREADS) as executor:
            done = list(executor.map(caller, range(THREADS)))
        took = time.perf_counter() - began
    pairs, failures = sum(some for some, _ in done), sum(some for _, some in done)
    return pairs / took, failures / max(1, pairs + failures)


if __name__ == "__main__":
    print(json.dumps(pharox(sys.argv[1], float(sys.argv[2]))))
