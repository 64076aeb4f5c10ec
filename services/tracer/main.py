"""Wires the tracer; decides nothing."""

import asyncio
from dataclasses import replace

from libs.common.observability import metrics, telemetry
from libs.common.process import lifecycle
from libs.common.rpc import tls
from libs.common.rpc.server import Security, Server
from libs.common.target_policy.policy import TargetPolicy
from services.tracer.fetch.driver import Driver
from services.tracer.fetch.options import TlsTrust
from services.tracer.fetch.session import Fetcher
from services.tracer.follow import redirects, walk
from services.tracer.rpc.servicer import Tracer
from services.tracer.settings import TracerSettings

# Walks are asked to end this long before the server cuts their calls, so that their results still get through.
_RESULT_SECONDS = 1.0


async def serve(chosen: TracerSettings, stop: asyncio.Event) -> None:
    """Serves until `stop` is set."""
    spans = telemetry.setup("tracer", chosen)
    try:
        await run(chosen, stop)
    finally:
        await spans.shutdown()


async def run(chosen: TracerSettings, stop: asyncio.Event) -> None:
    """Serves until `stop` is set, then drains: walks may finish within the grace; the rest end with CANCELLED."""
    targets = TargetPolicy(
        allowed_networks=chosen.allowed_networks,
        allowed_hosts=chosen.allowed_hosts,
        own_hosts=chosen.own_hosts,
    )
    walks = walk.Settings(
        lease_margin=chosen.lease_margin,
        app_schemes=redirects.APP_SCHEMES | {scheme.lower() for scheme in chosen.app_schemes},
        user_agent=chosen.user_agent,
    )
    with metrics.exposing(chosen.metrics_listen):
        async with Driver() as driver:
            fetcher = Fetcher(driver, targets, TlsTrust(chosen.trusted_file()))
            tracer = Tracer(
                fetcher,
                targets,
                walks,
                max_traces=chosen.max_traces,
                allow_direct=chosen.allow_direct,
                span_queries=chosen.span_queries,
            )
            server = Server(
                chosen.listen,
                [replace(tracer.service, callers=chosen.gateway_identities)],
                reflection=chosen.reflection,
                grace=chosen.grace,
                drain_delay=chosen.drain_delay,
                security=Security(tls.Files(chosen.tls_dir)) if chosen.tls_dir else None,
                health_address=chosen.health_listen,
                admin_address=chosen.admin_listen,
            )
            async with server:
                lifecycle.tune_garbage_collection()
                await stop.wait()
                timeout = chosen.drain_delay + max(0.0, chosen.grace - _RESULT_SECONDS)
                asyncio.get_running_loop().call_later(timeout, tracer.stop_walks)
