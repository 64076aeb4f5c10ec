"""An IP that comes free is told at once to whoever waits, also when somebody writes SQL by hand."""

import asyncio
from functools import partial

from libs.common.process.supervisor import Supervisor
from services.pool_manager.db.leases import PostgresLeases
from services.pool_manager.db.listen import follow_freed
from tests.integration.pool_manager.store import Pool, lease, release


async def test_freed_ips_are_told(pool: Pool, leases: PostgresLeases, database: str) -> None:
    freed = asyncio.Queue[None]()

    async def told() -> None:
        async with asyncio.timeout(10):
            await freed.get()
        while not freed.empty():
            freed.get_nowait()

    async with Supervisor().running("listen", partial(follow_freed, database, lambda: freed.put_nowait(None))):
        await told()
        await pool.execute("INSERT INTO ip_rotation_pool (ip_address, ip_port, country, cooldown)"
                           " VALUES ('slot', '7000', 'us', '0')")  # fmt: skip
        await told()
        grant = await lease(leases, "one")
        assert freed.empty()
        await release(leases, grant.token)
        await told()
