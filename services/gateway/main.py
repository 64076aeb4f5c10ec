"""Wires the gateway, top to bottom, and decides nothing."""

import asyncio
import logging
import os
import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from aiohttp import web
from grpc import aio

from libs.common.observability import telemetry
from libs.common.observability.metrics import job_failed, job_started
from libs.common.postgres import database
from libs.common.postgres.migrate import check
from libs.common.process import lifecycle, logs
from libs.common.process.supervisor import Job, Supervisor
from libs.common.process.tasks import Background
from libs.common.rpc import client, tls
from libs.common.rpc.server import Security, Server
from services.gateway import metrics
from services.gateway.clicks.coalescing import Coalescer
from services.gateway.clicks.last_landing import LastLandings
from services.gateway.clicks.privacy import Privacy
from services.gateway.clicks.rate_limit import RateLimits
from services.gateway.clicks.record_writer import RecordWriter
from services.gateway.clicks.retention import Retention
from services.gateway.clicks.service import LEAD_MARGIN_SECONDS, Clicks, Limits
from services.gateway.clicks.stream import ClickStream
from services.gateway.clicks.tracing import Tracing
from services.gateway.clicks.trials import Trials
from services.gateway.clients.pool import PoolClient
from services.gateway.clients.pool_admin import run_maintenance
from services.gateway.clients.pool_watch import PoolSource
from services.gateway.clients.tracer import TracerClient
from services.gateway.console import offers as console_offers
from services.gateway.console.board import Board, Sources
from services.gateway.console.routes import VERSION, ConsoleRoutes
from services.gateway.console.session import Sessions
from services.gateway.db.clicks import ClickTable
from services.gateway.db.leads import LeadTable
from services.gateway.db.listen import follow_changes
from services.gateway.db.offer_health import OfferHealthTable
from services.gateway.db.offers import OfferTable
from services.gateway.db.webhooks import WebhookTable
from services.gateway.drift.recorder import HealthRecorder
from services.gateway.http.click import ClickEndpoint
from services.gateway.http.internal import InternalRoutes
from services.gateway.http.server import PlainServer, Unquoted, listening
from services.gateway.offers.cache import OfferCache
from services.gateway.rpc.click_log import ClickLog
from services.gateway.rpc.offer_admin import OfferAdmin
from services.gateway.rpc.services import services
from services.gateway.rpc.webhook_admin import WebhookAdmin
from services.gateway.settings import GatewaySettings
from services.gateway.webhooks.delivery import WebhookDelivery
from services.gateway.webhooks.sender import WebhookSender

log = logs.get(__name__)

# Visitors who wait at a stop get their answers; none waits longer than that.
_VISITORS_SECONDS = 60.0
# Connections to the database that are in use after that are cut.
_CLOSE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Ports:
    """The bound ports."""

    public: int
    internal: int
    grpc: int


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Channels to the other services."""

    pool: aio.Channel
    pool_admin: aio.Channel
    tracer: aio.Channel


async def serve(config: GatewaySettings, stop: asyncio.Event) -> None:
    """Serves until `stop` is set."""
    logging.getLogger("aiohttp.server").addFilter(Unquoted())
    spans = telemetry.setup("gateway", config)
    try:
        with database.translating_start():
            async with gateway(config, stop):
                lifecycle.tune_garbage_collection()
                log.info("gateway.ready")
                await stop.wait()
                await asyncio.sleep(config.drain_delay)
    finally:
        await spans.shutdown()


@asynccontextmanager
async def gateway(config: GatewaySettings, stop: asyncio.Event) -> AsyncIterator[Ports]:
    """Runs the gateway for the block and yields its bound ports; stops components in reverse order.

    That is: no new clicks, visitors who wait get their answers, traces in the background get their grace, leases are
    released, records are written. Readiness is off from the moment that `stop` is set.
    """
    token = config.operator_token.get_secret_value()
    webhook_secret = config.webhook_secret.get_secret_value()
    privacy_key = config.privacy_key.get_secret_value() or secrets.token_hex()
    files = tls.Files(config.tls_dir) if config.tls_dir else None
    security = Security(files, operators=config.operator_identities, token=token) if files else None
    jobs = Supervisor(on_start=job_started, on_failure=job_failed)
    async with AsyncExitStack() as stack:
        connections = await stack.enter_async_context(_connections(str(config.database_url)))
        offers, click_table, outbox = OfferTable(connections), ClickTable(connections), WebhookTable(connections)
        offer_cache = OfferCache(offers)
        await offer_cache.reload_all()
        leads = await stack.enter_async_context(LeadTable(connections))
        records = await stack.enter_async_context(
            RecordWriter(click_table, capacity=config.journal_capacity, on_drop=metrics.records_dropped)
        )
        health = HealthRecorder(OfferHealthTable(connections), metrics.DriftMetrics(), every=config.health_every)
        await stack.enter_async_context(jobs.running("health", health.run))

        around = await stack.enter_async_context(_neighbours(config, files))
        holder = f"gateway@{socket.gethostname()}/{os.getpid()}"
        pool = await stack.enter_async_context(PoolClient(around.pool, holder=holder, ttl=config.lease_ttl))
        background = Background(limit=config.max_traces)
        stack.push_async_callback(background.drain, config.grace)
        lead_seconds = config.trace_timeout + LEAD_MARGIN_SECONDS
        coalescer = Coalescer(leads, click_table, background, lead_seconds=lead_seconds)
        landings = LastLandings()
        await landings.refresh(click_table, offer_cache)
        privacy = Privacy(config.personal_data, privacy_key.encode())
        clicks = Clicks(
            offers=offer_cache,
            admission=RateLimits(
                client_rate=config.client_rate,
                client_burst=config.client_burst,
                offer_rate=config.offer_rate,
                offer_burst=config.offer_burst,
                clock=asyncio.get_running_loop().time,
            ),
            tracing=Tracing(
                pool,
                TracerClient(around.tracer),
                coalescer,
                landings,
                privacy=privacy,
                trace_timeout=config.trace_timeout,
                max_attempts=config.max_attempts,
            ),
            store=records,
            landings=landings,
            background=background,
            limits=Limits(config.max_wait, config.trace_timeout, config.max_waiting),
            privacy=privacy,
            observers=[metrics.ClickMetrics(), health],
        )
        metrics.watch(
            waiting=lambda: clicks.waiting,
            running=lambda: background.running,
            unreadable=lambda: len(offer_cache.unreadable()),
        )
        stream = ClickStream(click_table)
        webhooks = WebhookDelivery(
            outbox,
            click_table,
            await stack.enter_async_context(WebhookSender()),
            secret=webhook_secret,
            attempts=config.webhook_attempts,
            first_pause=config.webhook_pause,
            on_posted=metrics.posted,
        )
        retention = Retention(click_table, leads, outbox, retention=config.retention, on_done=metrics.maintained)

        def on_written(click_id: str) -> None:
            coalescer.written(click_id)
            stream.written(click_id)

        background_jobs: dict[str, Job] = {
            "listen": partial(
                follow_changes,
                config.listen_url,
                on_offer=offer_cache.reload,
                on_offers=offer_cache.reload_all,
                on_written=on_written,
            ),
            "landings": partial(landings.run, click_table, offer_cache, every=config.landings_every),
            "feed": stream.run,
            "webhooks": webhooks.run,
            "maintenance": retention.run,
        }
        for name, job in background_jobs.items():
            await stack.enter_async_context(jobs.running(name, job))

        grpc_server = await stack.enter_async_context(
            Server(
                config.grpc_listen,
                services(
                    OfferAdmin(
                        offers,
                        offer_cache,
                        operator_token=token,
                        max_wait=config.max_wait,
                        webhooks=bool(webhook_secret),
                    ),
                    ClickLog(click_table, stream, health),
                    WebhookAdmin(outbox, operator_token=token),
                    read_token=config.read_token,
                ),
                reflection=config.reflection,
                grace=5.0,
                security=security,
                health_address=config.health_listen,
            )
        )
        stack.callback(stream.close)
        public = web.ServerRunner(
            PlainServer(
                ClickEndpoint(
                    clicks,
                    trusted=config.trusted_proxies,
                    hops=config.trusted_hops,
                    max_headers_bytes=config.max_headers_bytes,
                    on_refusal=metrics.refused,
                ).handle,
                header_timeout=config.header_timeout,
                max_url_bytes=config.max_url_bytes,
                max_header_bytes=config.max_header_bytes,
            ),
            shutdown_timeout=_VISITORS_SECONDS,
        )
        internal_routes = InternalRoutes(
            lambda: _unready(stop, public, jobs),
            maintain_pool=partial(run_maintenance, around.pool_admin),
            maintain_log=retention.once,
            operator_token=token,
        ).application()
        pool_source = PoolSource(
            around.pool_admin, operator_token=config.pool_operator_token.get_secret_value() or token
        )
        board = Board(
            Sources(
                pool=pool_source,
                feed=stream,
                log=click_table,
                clicks=clicks,
                health=health,
                offers=lambda known: console_offers.table(
                    offer_cache.all(), known, offer_cache.unreadable(), click_url=str(config.click_url or "")
                ),
            ),
            version=VERSION,
        )
        ConsoleRoutes(
            board,
            pool_source,
            Trials(clicks, offer_cache, background),
            sessions=Sessions(token),
            jaeger_url=str(config.jaeger_url or ""),
        ).add_to(internal_routes)
        await stack.enter_async_context(jobs.running("console", board.run))
        internal = web.AppRunner(internal_routes, access_log=None)
        internal_port = await stack.enter_async_context(listening(internal, config.internal_listen))
        public_port = await stack.enter_async_context(listening(public, config.listen))
        yield Ports(public_port, internal_port, grpc_server.port)
        stop.set()


def _unready(stop: asyncio.Event, public: web.ServerRunner, jobs: Supervisor) -> str:
    """Returns why no visitors are wanted; empty if they are. Probes come in before the public port listens."""
    if stop.is_set():
        return "stopping"
    return ", ".join(f"job {job} fails" for job in jobs.failing) if public.addresses else "starting"


@asynccontextmanager
async def _neighbours(config: GatewaySettings, files: tls.Files | None) -> AsyncIterator[Neighbours]:
    """Opens the channels for the block."""

    def opened(target: str, identity: str) -> aio.Channel:
        return client.channel(target, files=files, identity=identity)

    async with (
        opened(config.pool_target, config.pool_identity) as pool,
        opened(config.pool_admin_target or config.pool_target, config.pool_identity) as pool_admin,
        opened(config.tracer_target, config.tracer_identity) as tracer,
    ):
        yield Neighbours(pool, pool_admin, tracer)


@asynccontextmanager
async def _connections(url: str) -> AsyncIterator[database.Pool]:
    """Connects to a database that has the schema of this build; MigrationError if it has not."""
    connections = await database.connect_pool(url, application_name="clicktrace-gateway", max_size=8)
    try:
        await check(connections, schema="clicks", package="services.gateway.db")
        yield connections
    finally:
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await connections.close()
        except TimeoutError:
            connections.terminate()
