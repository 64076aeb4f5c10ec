"""What PostgreSQL itself refuses to have in the pool, whoever writes it there."""

import asyncpg
import pytest

from services.pool_manager.db.leases import PostgresLeases
from services.pool_manager.model.leases import Released
from tests.integration.pool_manager.store import Pool, lease, release

BAD = {
    "ip_address": "''",
    "ip_port": "65536",
    "protocol": "'GOPHER'",
    "country": "'US'",
    "provider": "repeat('x', 65)",
    "cooldown": "interval '-1 second'",
}


@pytest.fixture
async def proxy(pool: Pool) -> Pool:
    """Puts one good proxy into the pool."""
    await pool.execute("INSERT INTO pool.proxies (ip_address, ip_port, country) VALUES ('10.0.0.1', 7000, 'us')")
    return pool


@pytest.mark.parametrize("column", BAD)
async def test_a_proxy_is_not_changed_into_one_that_cannot_be(proxy: Pool, column: str) -> None:
    with pytest.raises(asyncpg.CheckViolationError, match="cannot be a proxy of the pool") as caught:
        await proxy.execute(f"UPDATE pool.proxies SET {column} = {BAD[column]}")
    assert "a port is 1 to 65535" in (caught.value.hint or "")


@pytest.mark.parametrize("column", BAD)
async def test_a_proxy_that_cannot_be_is_not_added(pool: Pool, column: str) -> None:
    values = {"ip_address": "'10.0.0.2'", "ip_port": "7000", "country": "'us'", column: BAD[column]}
    with pytest.raises(asyncpg.CheckViolationError):
        await pool.execute(f"INSERT INTO pool.proxies ({', '.join(values)}) VALUES ({', '.join(values.values())})")
    assert await pool.fetchval("SELECT count(*) FROM pool.proxies") == 0


async def test_leases_have_nothing_to_do_with_it(proxy: Pool, leases: PostgresLeases) -> None:
    """A row that is unsound from before, which only a trigger that is off can bring about, is leased all the same."""
    await proxy.execute("ALTER TABLE pool.proxies DISABLE TRIGGER proxy_is_sound")
    await proxy.execute("UPDATE pool.proxies SET provider = ''")
    await proxy.execute("ALTER TABLE pool.proxies ENABLE TRIGGER proxy_is_sound")
    grant = await lease(leases, "one")
    assert isinstance(await release(leases, grant.token), Released)
