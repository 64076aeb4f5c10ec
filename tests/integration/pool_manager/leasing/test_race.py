"""Proves that three pool_manager processes over one database never give one IP to two holders."""

import asyncio
from collections import Counter

from grpc import aio

from clicktrace.pool.v1 import pool_pb2
from libs.common.errors import ClicktraceError, Code
from libs.common.rpc.status import from_rpc_error
from services.pool_manager.db.leases import PostgresLeases
from services.pool_manager.db.pool import PostgresPool
from tests.integration.pool_manager.rig import manager_processes
from tests.integration.pool_manager.store import lease, provision


async def test_200_concurrent_callers_on_20_ips_never_share_one(database: str) -> None:
    async with manager_processes(database, 3) as managers:
        await managers[0].provision(20)

        async def ask(number: int) -> pool_pb2.LeaseResponse | ClicktraceError:
            client = managers[number % len(managers)].leases
            try:
                return await client.Lease(pool_pb2.LeaseRequest(request_id=f"click-{number}", country="us"))
            except aio.AioRpcError as error:
                return from_rpc_error(error)

        answers = await asyncio.gather(*(ask(number) for number in range(200)))

        grants = [answer.lease for answer in answers if isinstance(answer, pool_pb2.LeaseResponse)]
        refusals = [answer for answer in answers if isinstance(answer, ClicktraceError)]
        assert len(grants) == 20
        assert len({grant.proxy.ip_address for grant in grants}) == 20
        assert len({grant.fence for grant in grants}) == 20
        assert Counter((error.code, error.reason) for error in refusals) == {
            (Code.RESOURCE_EXHAUSTED, "NO_AVAILABLE_IP"): 180
        }
        # The lease of 30 s, and the cooldown of 60 s that would follow its expiry.
        assert all(error.retry_after is not None and 85 < error.retry_after <= 90 for error in refusals)


async def test_one_request_on_three_replicas_at_once_gets_one_ip(database: str) -> None:
    async with manager_processes(database, 3) as managers:
        await managers[0].provision(20)

        async def ask(number: int) -> str:
            client = managers[number % len(managers)].leases
            answer = await client.Lease(pool_pb2.LeaseRequest(request_id=f"click-{number // 30}", country="us"))
            return answer.lease.lease_id

        given = await asyncio.gather(*(ask(number) for number in range(300)))

        for request in range(10):
            assert len(set(given[request * 30 : request * 30 + 30])) == 1
        assert len(set(given)) == 10


async def test_one_request_alone_in_the_groups_of_two_replicas_gets_one_ip(
    database: str, leases: PostgresLeases, admin_store: PostgresPool
) -> None:
    await provision(admin_store, 200)
    other = PostgresLeases(database, cooldown=60, failure_limit=3)
    for number in range(100):
        name = f"click-{number}"
        one, two = await asyncio.gather(lease(leases, name), lease(other, name))
        assert one.token == two.token
    other.close()
