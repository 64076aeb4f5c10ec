"""Proves that the SQL of the quick start works as it stands there: each statement is run out of that document."""

import re
from pathlib import Path

import pytest

from services.pool_manager.db.leases import PostgresLeases
from services.pool_manager.model.leases import Grant, Outcome, Refusal
from tests.integration.pool_manager.store import Pool, lease, release, rows, try_lease, until

DOCUMENT = Path(__file__).with_name("quick-start.md")
BLOCKS = re.findall(r"```sql\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
# One line in them is no SQL: a setting of the JavaScript of the time.
STATEMENTS = [
    statement.strip()
    for block in BLOCKS
    for statement in re.sub(r"^(--.*|const .*)$", "", block, flags=re.MULTILINE).split(";")
    if re.match(r"\s*(INSERT|SELECT|UPDATE)\b", statement)
]


def the(start: str) -> str:
    """Returns the first statement that begins like this."""
    return next(statement for statement in STATEMENTS if re.sub(r"\s+", " ", statement).startswith(start))


INSERTS = [statement for statement in STATEMENTS if statement.startswith("INSERT")]
COUNT = the("SELECT status, COUNT(*) FROM ip_rotation_pool")
UNHEALTHY = the("SELECT * FROM ip_rotation_pool WHERE is_healthy = false")
RESET = the("UPDATE ip_rotation_pool").replace("specific-ip", "luna-us-slot-1")


def test_every_statement_of_the_document_is_found() -> None:
    assert len(BLOCKS) == 7
    assert len(STATEMENTS) == 9
    assert len(INSERTS) == 2


@pytest.mark.parametrize("number", range(len(STATEMENTS)))
async def test_each_statement_runs(pool: Pool, number: int) -> None:
    await pool.execute(STATEMENTS[number])


async def test_both_inserts_fill_the_pool(pool: Pool, leases: PostgresLeases) -> None:
    for insert in INSERTS:
        await pool.execute(insert)
    assert await rows(pool, "SELECT provider, country, count(*) FROM pool.proxies GROUP BY 1, 2 ORDER BY 1") == [
        {"provider": "default", "country": "us", "count": 50},
        {"provider": "luna", "country": "us", "count": 10},
    ]
    grant = await lease(leases, "click")
    assert grant.proxy.ip_address.startswith("luna-us-slot-")
    assert grant.proxy.ip_port == 7000


async def test_the_status_is_counted_by_the_clock(pool: Pool, leases: PostgresLeases) -> None:
    await pool.execute(INSERTS[0])
    await lease(leases, "held")
    await release(leases, (await lease(leases, "rests")).token)
    await pool.execute("UPDATE ip_rotation_pool SET drained = true WHERE id = 9")
    await pool.execute("UPDATE ip_rotation_pool SET is_healthy = false WHERE id = 10")
    counted = {row["status"]: row["count"] for row in await rows(pool, COUNT)}
    assert counted == {"available": 6, "in_use": 1, "cooldown": 1, "drained": 1, "unhealthy": 1}


async def test_expired_locks_are_closed_and_their_ips_come_free_by_themselves(
    pool: Pool, leases: PostgresLeases
) -> None:
    await pool.execute(INSERTS[0])
    await lease(leases, "lives")
    expired = await lease(leases, "expires", ttl=0.05)
    await until(pool, expired.expire_time)
    release_expired = the("SELECT release_expired_ip_locks()")
    assert await pool.fetchval(release_expired) == 1
    assert await pool.fetchval(release_expired) == 0
    assert await rows(pool, "SELECT request_id, ending, ended_at FROM pool.leases") == [
        {"request_id": "expires", "ending": "EXPIRED", "ended_at": expired.expire_time}
    ]


async def test_an_unhealthy_ip_is_listed_and_reset(pool: Pool, leases: PostgresLeases) -> None:
    await pool.execute("INSERT INTO ip_rotation_pool (ip_address, ip_port, country, cooldown)"
                       " VALUES ('luna-us-slot-1', '7000', 'us', '0')")  # fmt: skip
    for number in range(3):
        await release(leases, (await lease(leases, f"click-{number}")).token, Outcome.PROXY_FAILURE)
    (sick,) = await rows(pool, UNHEALTHY)
    assert (sick["ip_address"], sick["consecutive_failures"], sick["status"]) == ("luna-us-slot-1", 3, "unhealthy")
    assert isinstance(await try_lease(leases, "refused"), Refusal)
    await pool.execute(RESET)
    assert await rows(pool, UNHEALTHY) == []
    assert isinstance(await try_lease(leases, "granted"), Grant)
