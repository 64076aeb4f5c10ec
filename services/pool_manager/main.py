"""The composition root of the pool manager: wires, top to bottom, and decides nothing."""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from functools import partial

from clicktrace.pool.v1 import pool_pb2_grpc
from libs.common.observability import telemetry
from libs.common.observability.metrics import exposing, job_failed, job_started
from libs.common.postgres import database
from libs.common.postgres.migrate import check
from libs.common.process import lifecycle
from libs.common.process.supervisor import Job, Supervisor
from libs.common.providers.library import read_profiles
from libs.common.rpc import tls
from libs.common.rpc.server import Security, Server, Service
from services.pool_manager import metrics
from services.pool_manager.capacity import maintenance
from services.pool_manager.capacity.maintenance import Tally
from services.pool_manager.capacity.snapshot import CensusTaker
from services.pool_manager.db.leases import PostgresLeases
from services.pool_manager.db.listen import follow_freed
from services.pool_manager.db.pool import PostgresPool
from services.pool_manager.health.fetcher import ProbeFetcher
from services.pool_manager.health.prober import Prober
from services.pool_manager.inventory.credentials import Credentials
from services.pool_manager.inventory.service import Operating
from services.pool_manager.leasing.fair_share import Shares
from services.pool_manager.leasing.service import Leasing
from services.pool_manager.metrics import PoolMetrics
from services.pool_manager.rpc import pool_admin, pool_manager
from services.pool_manager.rpc.pool_admin import PoolAdminServicer
from services.pool_manager.rpc.pool_manager import PoolManagerServicer
from services.pool_manager.settings import PoolSettings

SERVICE = "pool_manager"


async def serve(config: PoolSettings, stop: asyncio.Event) -> None:
    """Serves until `stop` is set, then finishes what is under way."""
    spans = telemetry.setup(SERVICE, config)
    try:
        with exposing(config.metrics_listen), database.translating_start():
            await run(config, stop)
    finally:
        await spans.shutdown()


async def run(config: PoolSettings, stop: asyncio.Event) -> None:
    """Serves until `stop` is set, without metrics of its own port and without spans."""
    token = config.operator_token.get_secret_value()
    security = (
        Security(tls.Files(config.tls_dir), operators=config.operator_identities, token=token)
        if config.tls_dir
        else None
    )
    url = str(config.database_url)
    connections = await database.connect_pool(url, application_name=SERVICE)
    leases = PostgresLeases(
        url, cooldown=config.cooldown, failure_limit=config.failure_limit, probe_pause=config.probe_pause
    )
    pool = PostgresPool(connections, cooldown=config.cooldown, retention=config.retention)
    tally = Tally(pool)
    credentials = Credentials(config.credentials_dir, read_profiles(config.profiles_dir))
    observer = PoolMetrics()
    jobs = Supervisor(on_start=job_started, on_failure=job_failed)
    metrics.maintained()
    try:
        await check(connections, schema="pool", package="services.pool_manager.db")
        await pool.set_providers(config.provider_cooldowns, config.provider_prices)
        async with (
            Leasing(
                leases,
                tally,
                observer,
                Shares(pool, weights=config.offer_weights, reserve=config.reserve),
                max_waiting=config.max_waiting,
                weights=config.offer_weights,
                fallbacks=config.country_fallbacks,
                policies=config.cooldown_policies,
            ) as leasing,
            jobs.running("listen", partial(follow_freed, config.listen_url, leasing.freed)),
            AsyncExitStack() as running,
        ):
            for name, job in _jobs(config, pool, tally, credentials, observer).items():
                await running.enter_async_context(jobs.running(name, job))
            manager = PoolManagerServicer(leasing, credentials)
            operators = PoolAdminServicer(pool, own_address=config.listen, operator_token=token)
            services = [
                Service(
                    pool_manager.FULL_NAME,
                    lambda to: pool_pb2_grpc.add_PoolManagerServicer_to_server(manager, to),
                    callers=config.gateway_identities,
                ),
                Service(
                    pool_admin.FULL_NAME,
                    lambda to: pool_pb2_grpc.add_PoolAdminServicer_to_server(operators, to),
                    config.read_token,
                    callers=config.gateway_identities,
                    for_operators=True,
                ),
            ]
            server = Server(
                config.listen,
                services,
                reflection=config.reflection,
                grace=config.grace,
                drain_delay=config.drain_delay,
                security=security,
                health_address=config.health_listen,
                admin_address=config.admin_listen,
            )
            jobs.watch(server.health.set_well)
            async with server:
                lifecycle.tune_garbage_collection()
                await stop.wait()
    finally:
        leases.close()
        await connections.close()


def _jobs(
    config: PoolSettings, pool: PostgresPool, tally: Tally, credentials: Credentials, observer: PoolMetrics
) -> Mapping[str, Job]:
    """Returns what runs beside the server."""
    jobs: dict[str, Job] = {
        "maintenance": partial(maintenance.run, Operating(pool), on_done=metrics.maintained),
        "tally": tally.run,
        "census": CensusTaker(pool, observer).run,
    }
    if config.probe_url is not None:
        fetcher = ProbeFetcher(str(config.probe_url))
        jobs["prober"] = Prober(pool, credentials, fetcher, first_pause=config.probe_pause).run
    return jobs
