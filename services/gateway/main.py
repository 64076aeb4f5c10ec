"""Wires the gateway, top to bottom, and decides nothing."""

import asyncio
import logging
import os
import secrets
import socket
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
from aiohttp import web
from grpc import aio

from clicktrace.gateway.v1 import gateway_pb2_grpc
from libs.common.errors import ClicktraceError
from libs.common.observability import telemetry
from libs.common.postgres import database
from libs.common.postgres.migrate import MigrationError, migrate
from libs.common.process import lifecycle, logs, settings
from libs.common.process.settings import Address
from libs.common.process.tasks import Background
from libs.common.rpc import client, tls
from libs.common.rpc.server import Security, Server, Service
from services.gateway import metrics
from services.gateway.clicks.coalescing import Joining
from services.gateway.clicks.last_landing import LastLandings
from services.gateway.clicks.privacy import Privacy
from services.gateway.clicks.rate_limit import Admission
from services.gateway.clicks.record_writer import Journal
from services.gateway.clicks.retention import Maintenance
from services.gateway.clicks.service import LEAD_MARGIN, Clicks, Limits
from services.gateway.clicks.stream import ClickFeed
from services.gateway.clicks.tracing import Walker
from services.gateway.clicks.trials import Trials
from services.gateway.clients.pool import PoolClient
from services.gateway.clients.pool_admin import PoolMaintenance
from services.gateway.clients.pool_watch import PoolSource
from services.gateway.clients.tracer import TracerClient
from services.gateway.console import offers as console_offers
from services.gateway.console.board import Board, Sources
from services.gateway.console.routes import VERSION, ConsoleRoutes
from services.gateway.console.session import Sessions
from services.gateway.db.clicks import ClickTable
from services.gateway.db.journeys import JourneyTable
from services.gateway.db.listen import notifications
from services.gateway.db.offer_health import OfferHealthTable
from services.gateway.db.offers import OfferTable
from services.gateway.db.webhooks import WebhookTable
from services.gateway.drift.recorder import HealthRecorder
from services.gateway.http.routes import InternalRoutes, PlainServer, PublicRoutes, Unquoted
from services.gateway.offers.cache import OfferCache
from services.gateway.rpc.click_log import ClickLog
from services.gateway.rpc.offer_admin import OfferAdmin
from services.gateway.rpc.webhook_admin import WebhookAdmin
from services.gateway.settings import GatewaySettings
from services.gateway.webhooks.delivery import WebhookDelivery
from services.gateway.webhooks.sender import WebhookSender

log = logs.get(__name__)

_SCHEMA = "clicks"
# Visitors who wait at a stop get their answers; none waits longer than that.
_VISITORS_SECONDS = 60.0
# Connections to the database that are in use after that are cut.
_CLOSE_SECONDS = 5.0
_OFFERS, _WRITTEN = "clicks_offers", "clicks_written"


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports that are bound."""

    public: int
    internal: int
    grpc: int


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The channels to the services around."""

    pool: aio.Channel
    pool_admin: aio.Channel
    tracer: aio.Channel


def main() -> None:
    """Runs `serve` (the default) or `migrate`."""
    command = sys.argv[1] if len(sys.argv) > 1 else "serve"
    commands = {"serve": serve, "migrate": apply_migrations}
    if command not in commands or len(sys.argv) > 2:
        print("usage: python -m services.gateway [serve|migrate]", file=sys.stderr)
        sys.exit(2)
    config = settings.load(GatewaySettings)
    logs.setup("gateway", config.log_format, config.log_level)
    logging.getLogger("aiohttp.server").addFilter(Unquoted())
    try:
        lifecycle.run(lambda stop: commands[command](config, stop))
    except (OSError, ClicktraceError, MigrationError, asyncpg.PostgresError) as error:
        log.error("process.failed", command=command, error=type(error).__name__, detail=str(error))  # noqa: TRY400
        sys.exit(1)


async def apply_migrations(config: GatewaySettings, _stop: asyncio.Event) -> None:
    """Brings the schema up to date."""
    applied = await migrate(str(config.database_url), schema=_SCHEMA, package="services.gateway.db.migrations")
    log.info("migrate.done", applied=list(applied))


async def serve(config: GatewaySettings, stop: asyncio.Event) -> None:
    """Serves until `stop` is set."""
    spans = telemetry.setup("gateway")
    try:
        async with gateway(config, stop):
            lifecycle.tune_garbage_collection()
            log.info("gateway.ready")
            await stop.wait()
            await asyncio.sleep(config.drain_delay)
    finally:
        await spans.shutdown()


@asynccontextmanager
async def gateway(config: GatewaySettings, stop: asyncio.Event) -> AsyncIterator[Ports]:
    """Is a whole gateway inside the block; leaving it ends everything in the reverse order of its start.

    That is: no new clicks, visitors who wait get their answers, traces in the background get their grace, leases go
    back, records are written. Readiness is off from the moment that `stop` is set.
    """
    url = str(config.database_url)
    token = config.operator_token.get_secret_value()
    webhook_secret = config.webhook_secret.get_secret_value()
    privacy_key = config.privacy_key.get_secret_value() or secrets.token_hex()
    files = tls.Files(config.tls_dir) if config.tls_dir else None
    security = Security(files, operators=config.operator_identities, token=token) if files else None
    async with AsyncExitStack() as stack:
        connections = await database.connect_pool(url, application_name="clicktrace-gateway", max_size=8)
        stack.push_async_callback(_close, connections)
        offers, log_table = OfferTable(connections), ClickTable(connections)
        offer_cache = OfferCache(offers)
        await offer_cache.reload_all()
        journeys = await stack.enter_async_context(JourneyTable(connections))
        journal = await stack.enter_async_context(
            Journal(log_table, capacity=config.journal_capacity, on_drop=metrics.records_dropped)
        )

        health = HealthRecorder(OfferHealthTable(connections), metrics.DriftMetrics(), every=config.health_every)
        await stack.enter_async_context(_running(health.run(), name="health"))

        around = await stack.enter_async_context(_neighbours(config, files))
        holder = f"gateway@{socket.gethostname()}/{os.getpid()}"
        pool = await stack.enter_async_context(PoolClient(around.pool, holder=holder, ttl=config.lease_ttl))
        background = Background(limit=config.max_traces)
        stack.push_async_callback(background.drain, config.grace)
        joining = Joining(journeys, log_table, background, lead_for=config.trace_timeout + LEAD_MARGIN)
        landings = LastLandings()
        await landings.refresh(log_table, offer_cache)
        tracer = TracerClient(around.tracer)
        clicks = Clicks(
            offers=offer_cache,
            gate=Admission(
                client_rate=config.client_rate,
                client_burst=config.client_burst,
                offer_rate=config.offer_rate,
                offer_burst=config.offer_burst,
                clock=asyncio.get_running_loop().time,
            ),
            walker=Walker(pool, tracer, trace_timeout=config.trace_timeout, max_attempts=config.max_attempts),
            store=journal,
            joining=joining,
            landings=landings,
            background=background,
            limits=Limits(config.max_wait, config.trace_timeout, config.max_waiting),
            privacy=Privacy(config.personal_data, privacy_key.encode()),
            observers=[metrics.ClickMetrics(), health],
        )
        metrics.watch(waiting=lambda: clicks.waiting, running=lambda: background.running)
        feed = ClickFeed(log_table)
        sender = await stack.enter_async_context(WebhookSender())
        outbox = WebhookTable(connections)
        webhooks = WebhookDelivery(
            outbox,
            log_table,
            sender,
            secret=webhook_secret,
            attempts=config.webhook_attempts,
            first_pause=config.webhook_pause,
            on_posted=metrics.posted,
        )
        maintenance = Maintenance(log_table, journeys, outbox, retention=config.retention, on_done=metrics.maintained)
        for name, work in {
            "listen": _listen(config.listen_url, offer_cache, joining, feed),
            "landings": landings.run(log_table, offer_cache, every=config.landings_every),
            "feed": feed.run(),
            "webhooks": webhooks.run(),
            "maintenance": maintenance.run(),
        }.items():
            await stack.enter_async_context(_running(work, name=name))

        admin = OfferAdmin(
            offers, offer_cache, operator_token=token, max_wait=config.max_wait, webhooks=bool(webhook_secret)
        )
        services = [
            _admin_service(admin, config.read_token),
            _log_service(ClickLog(log_table, feed, health), config.read_token),
            _webhook_service(WebhookAdmin(outbox, operator_token=token), config.read_token),
        ]
        grpc_server = await stack.enter_async_context(
            Server(
                config.grpc_listen,
                services,
                reflection=config.reflection,
                grace=5.0,
                security=security,
                health_address=config.health_listen,
            )
        )
        stack.callback(feed.close)
        internal_routes = InternalRoutes(
            lambda: not stop.is_set(),
            pool=PoolMaintenance(around.pool_admin),
            click_log=maintenance,
            operator_token=token,
        ).application()
        await stack.enter_async_context(
            _console(
                internal_routes,
                config,
                around.pool_admin,
                feed=feed,
                log_table=log_table,
                clicks=clicks,
                offer_cache=offer_cache,
                health=health,
                background=background,
            )
        )
        internal = web.AppRunner(internal_routes, access_log=None)
        internal_port = await stack.enter_async_context(_listening(internal, config.internal_listen))
        public_server = PlainServer(
            PublicRoutes(
                clicks,
                trusted=config.trusted_proxies,
                hops=config.trusted_hops,
                max_headers_bytes=config.max_headers_bytes,
                on_refusal=metrics.refused,
            ).handle,
            header_timeout=config.header_timeout,
            max_url_bytes=config.max_url_bytes,
            max_header_bytes=config.max_header_bytes,
        )
        public = web.ServerRunner(public_server, shutdown_timeout=_VISITORS_SECONDS)
        public_port = await stack.enter_async_context(_listening(public, config.listen))
        yield Ports(public_port, internal_port, grpc_server.port)
        stop.set()


@asynccontextmanager
async def _neighbours(config: GatewaySettings, files: tls.Files | None) -> AsyncIterator[Neighbours]:
    """Opens the channels and closes them."""

    def opened(target: str, identity: str) -> aio.Channel:
        return client.channel(target, files=files, identity=identity)

    async with (
        opened(config.pool_target, config.pool_identity) as pool,
        opened(config.pool_admin_target or config.pool_target, config.pool_identity) as pool_admin,
        opened(config.tracer_target, config.tracer_identity) as tracer,
    ):
        yield Neighbours(pool, pool_admin, tracer)


@asynccontextmanager
async def _console(
    application: web.Application,
    config: GatewaySettings,
    pool_admin: aio.Channel,
    *,
    feed: ClickFeed,
    log_table: ClickTable,
    clicks: Clicks,
    offer_cache: OfferCache,
    health: HealthRecorder,
    background: Background,
) -> AsyncIterator[None]:
    """Serves the console on an application, and gathers what it shows inside the block."""
    token = config.operator_token.get_secret_value()
    pool = PoolSource(pool_admin, operator_token=config.pool_operator_token.get_secret_value() or token)
    sources = Sources(
        pool=pool,
        feed=feed,
        log=log_table,
        under_way=lambda: clicks.under_way,
        health=health,
        offers=lambda known: console_offers.table(offer_cache.all(), known, click_url=str(config.click_url or "")),
    )
    board = Board(sources, version=VERSION)
    ConsoleRoutes(
        board,
        pool,
        Trials(clicks, offer_cache, background),
        sessions=Sessions(token),
        jaeger_url=str(config.jaeger_url or ""),
    ).add_to(application)
    async with _running(board.run(), name="console"):
        yield


def _admin_service(admin: OfferAdmin, token: str) -> Service:
    return Service(
        "clicktrace.gateway.v1.OfferAdmin",
        lambda server: gateway_pb2_grpc.add_OfferAdminServicer_to_server(admin, server),
        token,
        for_operators=True,
    )


def _log_service(click_log: ClickLog, token: str) -> Service:
    return Service(
        "clicktrace.gateway.v1.ClickLog",
        lambda server: gateway_pb2_grpc.add_ClickLogServicer_to_server(click_log, server),
        token,
        for_operators=True,
    )


def _webhook_service(webhook_admin: WebhookAdmin, token: str) -> Service:
    return Service(
        "clicktrace.gateway.v1.WebhookAdmin",
        lambda server: gateway_pb2_grpc.add_WebhookAdminServicer_to_server(webhook_admin, server),
        token,
        for_operators=True,
    )


@asynccontextmanager
async def _listening(runner: web.BaseRunner, address: Address) -> AsyncIterator[int]:
    """Serves on an address inside the block and gives its port; leaving it lets running requests finish."""
    await runner.setup()
    try:
        site = web.TCPSite(runner, address.host, address.port, backlog=1_024)
        await site.start()
        port: int = runner.addresses[0][1]
        log.info("http.listening", address=f"{address.host}:{port}")
        yield port
    finally:
        await runner.cleanup()


async def _listen(url: str, offer_cache: OfferCache, joining: Joining, feed: ClickFeed) -> None:
    """Hands on what the database tells, for as long as it runs."""
    async for notification in notifications(url, [_OFFERS, _WRITTEN]):
        try:
            if notification.channel == _WRITTEN:
                for click_id in notification.payload.split(","):
                    joining.written(click_id)
                    feed.written(click_id)
            elif notification.channel == _OFFERS:
                await offer_cache.reload(notification.payload)
            else:
                await offer_cache.reload_all()
        except ClicktraceError as error:
            # The connection that brought this is alive, so the next one to come will find the database again.
            log.warning("offers.reload_failed", reason=error.reason)


@asynccontextmanager
async def _running(work: Coroutine[Any, Any, None], *, name: str) -> AsyncIterator[None]:
    """Runs work beside the block, and ends it with the block; what it fails of is logged."""
    owner = Background(limit=1)
    owner.start(work, name=name)
    try:
        yield
    finally:
        await owner.drain(0)


async def _close(connections: "asyncpg.Pool[asyncpg.Record]") -> None:
    try:
        async with asyncio.timeout(_CLOSE_SECONDS):
            await connections.close()
    except TimeoutError:
        connections.terminate()
