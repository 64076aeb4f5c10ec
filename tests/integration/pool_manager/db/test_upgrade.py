"""Proves that a database of an earlier version is brought up to date with what is in it, and that replicas of that
version still work beside the new ones.
"""

import asyncio

import asyncpg
import pytest

from libs.common.postgres.migrate import Migrated, migrate
from services.pool_manager.db.leases import PostgresLeases
from services.pool_manager.model.leases import Grant, LeaseToken, Outcome, Refusal
from tests.integration.pool_manager.store import release, try_lease
from tests.support.schema import restore_former

PACKAGE = "services.pool_manager.db"
# What replicas send that know no cooldown policies.
OLD_LEASE = (
    "SELECT proxy_id, fence, nonce FROM pool.lease(ARRAY[$1], ARRAY['us'], ARRAY['summer'], ARRAY['old'],"
    " ARRAY[interval '30 s'], ARRAY[1], ARRAY[false], interval '60 s')"
)
# And those that know no runs: any country, under no policy and under one.
UNSORTED_LEASE = (
    "SELECT request_id, fence FROM pool.lease(ARRAY['a', 'b', 'c', 'd'], ARRAY['', 'us', '', 'us'],"
    " ARRAY['summer', 'summer', 'winter', 'winter'], ARRAY['old', 'old', 'old', 'old'],"
    " array_fill(interval '30 s', ARRAY[4]), ARRAY[1, 1, 1, 1], ARRAY[false, false, false, true], interval '60 s',"
    " ARRAY['', '', 'winter.example', ''], ARRAY[false, false, false, false])"
)


@pytest.fixture
async def old(empty_database: str) -> str:
    """A database of commit 234582f with 3 IPs, one of them leased, as an old replica does it."""
    await restore_former(empty_database)
    connection = await asyncpg.connect(empty_database)
    await connection.execute(
        "DELETE FROM pool.proxies;"
        "INSERT INTO ip_rotation_pool (ip_address, ip_port, country) SELECT 'ip-' || generate_series(1, 3), '1', 'us';"
        "SELECT setval('pool.fences', 1, false)"
    )
    await connection.fetch(OLD_LEASE, "before")
    await connection.execute("DELETE FROM pool.leases")
    await connection.close()
    return empty_database


async def test_what_was_leased_before_is_held_and_released_after(old: str) -> None:
    applied = await migrate(old, schema="pool", package=PACKAGE)
    assert "pool.lease" in applied.functions
    assert await migrate(old, schema="pool", package=PACKAGE) == Migrated([], [])
    store = PostgresLeases(old, cooldown=60, failure_limit=3)
    held = await try_lease(store, "before")
    assert isinstance(held, Grant)
    assert held.token.fence == 1
    assert len({(await granted(store, f"after-{number}")).proxy_id for number in range(2)}) == 2
    assert isinstance(await try_lease(store, "too many"), Refusal)
    await release(store, held.token, Outcome.SUCCESS)
    assert isinstance(await try_lease(store, "rests"), Refusal)
    store.close()


async def test_replicas_of_both_versions_share_the_pool(old: str) -> None:
    await migrate(old, schema="pool", package=PACKAGE)
    store = PostgresLeases(old, cooldown=60, failure_limit=3)
    connection = await asyncpg.connect(old)

    async def by_old() -> list[LeaseToken]:
        answers = [await connection.fetchrow(OLD_LEASE, f"old-{number}") for number in range(3)]
        return [LeaseToken(row["proxy_id"], row["fence"], row["nonce"].hex) for row in answers if row and row["fence"]]

    async def by_new() -> list[LeaseToken]:
        answers = [await try_lease(store, f"new-{number}") for number in range(3)]
        return [answer.token for answer in answers if isinstance(answer, Grant)]

    tokens = [token for some in await asyncio.gather(by_old(), by_new()) for token in some]
    assert len({token.proxy_id for token in tokens}) == len(tokens) == 2
    await connection.close()
    store.close()


async def test_what_a_replica_asks_that_knows_no_runs_is_granted(old: str) -> None:
    await migrate(old, schema="pool", package=PACKAGE)
    connection = await asyncpg.connect(old)
    # Of the 3 IPs one is leased: who comes first has the others; the last one may only repeat.
    answers = {row["request_id"]: row["fence"] for row in await connection.fetch(UNSORTED_LEASE)}
    assert [answers[name] is not None for name in "abcd"] == [True, True, False, False]
    assert {row["request_id"]: row["fence"] for row in await connection.fetch(UNSORTED_LEASE)} == answers
    await connection.close()


async def granted(store: PostgresLeases, request_id: str) -> LeaseToken:
    answer = await try_lease(store, request_id)
    assert isinstance(answer, Grant)
    return answer.token
