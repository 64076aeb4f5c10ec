"""The composition root of the pool manager: wires, top to bottom, and decides nothing."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg

from clicktrace.pool.v1 import pool_pb2_grpc
from libs.common.errors import ClicktraceError
from libs.common.observability import telemetry
from libs.common.observability.metrics import exposing
from libs.common.postgres import database
from libs.common.postgres.migrate import MigrationError, migrate
from libs.common.process import lifecycle, logs, settings
from libs.common.rpc import tls
from libs.common.rpc.server import Security, Server, Service
from services.pool_manager import metrics
from services.pool_manager.capacity import maintenance
from services.pool_manager.capacity.maintenance import Tally
from services.pool_manager.capacity.snapshot import CensusTaker
from services.pool_manager.cli import provision
from services.pool_manager.db.leases import PostgresLeases
from services.pool_manager.db.listen import listening
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
from services.pool_manager.settings import PoolSettings, ProvisionSettings

SERVICE = "pool_manager"

log = logs.get(__name__)


async def serve_measured(config: PoolSettings, stop: asyncio.Event) -> None:
    """Serves as `serve` does, and shows the metrics meanwhile."""
    with exposing(config.metrics_listen):
        await serve(config, stop)


async def serve(config: PoolSettings, stop: asyncio.Event) -> None:
    """Serves until `stop` is set, then finishes what is under way."""
    token = config.operator_token.get_secret_value()
    security = (
        Security(tls.Files(config.tls_dir), operators=config.operator_identities, token=token)
        if config.tls_dir
        else None
    )
    spans = telemetry.setup(SERVICE)
    url = str(config.database_url)
    connections = await database.connect_pool(url, application_name=SERVICE)
    leases = PostgresLeases(
        url, cooldown=config.cooldown, failure_limit=config.failure_limit, probe_pause=config.probe_pause
    )
    pool = PostgresPool(connections, cooldown=config.cooldown, retention=config.retention)
    tally = Tally(pool)
    credentials = Credentials(config.credentials_dir)
    observer = PoolMetrics()
    metrics.maintained()
    try:
        await pool.set_providers(config.provider_cooldowns, config.provider_prices)
        async with (
            Leasing(
                leases,
                tally,
                observer=observer,
                max_waiting=config.max_waiting,
                shares=Shares(pool, weights=config.offer_weights, reserve=config.reserve),
                weights=config.offer_weights,
                fallbacks=config.country_fallbacks,
                rules=config.rules,
            ) as leasing,
            listening(config.listen_url, leasing.freed),
            background(_chores(config, pool, tally, credentials, observer)),
        ):
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
            async with Server(
                config.listen,
                services,
                reflection=config.reflection,
                grace=config.grace,
                drain_delay=config.drain_delay,
                security=security,
                health_address=config.health_listen,
                admin_address=config.admin_listen,
            ):
                lifecycle.tune_garbage_collection()
                await stop.wait()
    finally:
        leases.close()
        await connections.close()
        await spans.shutdown()


def _chores(
    config: PoolSettings, pool: PostgresPool, tally: Tally, credentials: Credentials, observer: PoolMetrics
) -> Mapping[str, Coroutine[None, None, None]]:
    """Returns what runs beside the server."""
    chores = {
        "maintenance": maintenance.run(Operating(pool), on_done=metrics.maintained),
        "tally": tally.run(),
        "census": CensusTaker(pool, observer).run(),
    }
    if config.probe_url is not None:
        fetcher = ProbeFetcher(str(config.probe_url))
        chores["prober"] = Prober(pool, credentials, fetcher, first_pause=config.probe_pause).run()
    return chores


@asynccontextmanager
async def background(chores: Mapping[str, Coroutine[None, None, None]]) -> AsyncIterator[None]:
    """Runs coroutines that never end by themselves while the block runs; one that fails ends the process."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(chore, name=name) for name, chore in chores.items()]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()


async def bring_up_to_date(config: PoolSettings) -> None:
    """Applies the migrations that are missing."""
    for name in await migrate(str(config.database_url), schema="pool", package="services.pool_manager.db.migrations"):
        log.info("migration.applied", name=name)


def main(arguments: Sequence[str]) -> int:
    """Runs `serve` (the default), `migrate`, or `provision FILE [--dry-run]`, and returns the exit code."""
    match list(arguments):
        case [] | ["serve"]:
            return _run(lambda config: lifecycle.run(lambda stop: serve_measured(config, stop)))
        case ["migrate"]:
            return _run(lambda config: asyncio.run(bring_up_to_date(config)))
        case ["provision", file, *options] if options in ([], ["--dry-run"]):
            client = settings.load(ProvisionSettings)
            return asyncio.run(provision(Path(file), client, dry_run=bool(options)))
    print("usage: python -m services.pool_manager [serve | migrate | provision FILE [--dry-run]]", file=sys.stderr)
    return 2


def _run(command: Callable[[PoolSettings], None]) -> int:
    config = settings.load(PoolSettings)
    logs.setup(SERVICE, config.log_format, config.log_level)
    try:
        command(config)
    except (OSError, asyncpg.PostgresError, MigrationError, ClicktraceError) as error:
        log.error("process.failed", error=type(error).__name__, detail=str(error))  # noqa: TRY400 - no fault of ours
        return 1
    return 0
