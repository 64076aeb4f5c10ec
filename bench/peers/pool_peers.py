"""Others that lease proxies from PostgreSQL, for `bench.pool`.

`by_transaction` is the usual way with the records that ours keeps, `bare_updates` the least there can be; pharox, which
has to be installed, is in `bench.peers.pharox_leases`.
"""

from typing import TypeAlias

import asyncpg

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
