"""`make bench-console`: the console's page with a large pool and many clicks, measured from inside a real Chromium.

The pool is filled by rpc with IPs that nobody dials. They are leased and released by rpc, so that the field changes,
and the clicks are on an offer that only redirects, so that all the work is the console's.
"""

import argparse
import asyncio
import secrets
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import aiohttp
from yarl import URL

from bench import command, sizes
from bench.measure.report import Row, at_least, at_most
from clicktrace.gateway.v1 import gateway_pb2, gateway_pb2_grpc
from clicktrace.pool.v1 import pool_pb2, pool_pb2_grpc
from libs.common.rpc.client import channel
from tests.support.chromium import chromium, console
from tests.support.system import System, state_directory

_COUNTRIES = ("us", "gb", "ca", "au", "de")
_BATCH = 50
_PROBE = """
() => {
    const seen = { frames: [], tasks: [], messages: 0 };
    new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) seen.tasks.push(entry.duration);
    }).observe({ type: "longtask" });
    let before = performance.now();
    const frame = (now) => {
        seen.frames.push(now - before);
        before = now;
        requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
    window.seen = seen;
}
"""
_STATE = "() => ({ nodes: document.querySelectorAll('*').length, heap: performance.memory.usedJSHeapSize })"


async def measure(size: sizes.Console) -> Sequence[Row]:
    """Returns how a page did under a load of clicks."""
    environment = {"GATEWAY_CLIENT_RATE": "100000", "GATEWAY_CLIENT_BURST": "100000"}
    with state_directory() as state, System(state, ("--proxies", "10", "--quiet"), environment) as system:
        await _provision(system, size.ips)
        async with chromium() as browser, console(browser, system.ports["internal"]) as shown:
            await shown.sign_in("")
            await shown.page.locator(".figure").first.get_by_text(f"/ {size.ips + 10}").wait_for()
            await asyncio.sleep(3)
            before = await shown.page.evaluate(_STATE)
            await shown.page.evaluate(_PROBE)
            async with asyncio.TaskGroup() as group:
                group.create_task(_click(system, size.clicks, size.seconds))
                group.create_task(_lease(system, size.clicks, size.seconds))
            seen = await shown.page.evaluate("window.seen")
            after = await shown.page.evaluate(_STATE)
            problems = shown.errors
    return _rows(seen, before, after, len(problems), size.seconds)


def _rows(
    seen: dict[str, Any], before: dict[str, int], after: dict[str, int], errors: int, seconds: int
) -> Sequence[Row]:
    frames = sorted(seen["frames"])
    return [
        at_least("frames a second", 1_000 * len(frames) / sum(frames), 30),
        Row("time between frames, median", frames[len(frames) // 2], "ms"),
        at_most("time between frames, 99 %", frames[int(len(frames) * 0.99)], 100, "ms"),
        Row("time between frames, longest", frames[-1], "ms"),
        Row("tasks of more than 50 ms, a second", len(seen["tasks"]) / seconds),
        at_most("longest task", max(seen["tasks"], default=0.0), 250, "ms"),
        Row("elements before", before["nodes"]),
        at_most("elements after", after["nodes"], 2_500),
        Row("heap before", before["heap"] / 1e6, "MB"),
        at_most("heap after", after["heap"] / 1e6, 100, "MB"),
        at_most("errors", errors, 0),
    ]


async def _provision(system: System, ips: int) -> None:
    async with channel(f"127.0.0.1:{system.ports['pool']}") as opened:
        admin = pool_pb2_grpc.PoolAdminStub(opened)
        specs = [
            pool_pb2.ProxySpec(
                ip_address=f"198.18.{number // 250}.{number % 250 + 1}",
                ip_port=8899,
                country=_COUNTRIES[number % len(_COUNTRIES)],
            )
            for number in range(ips)
        ]
        await admin.ProvisionProxies(pool_pb2.ProvisionProxiesRequest(proxies=specs), timeout=60)
    async with channel(f"127.0.0.1:{system.ports['grpc']}") as opened:
        offer = gateway_pb2.Offer(name="plain", tracking_url="http://plain.example/", mode=gateway_pb2.REDIRECT_ONLY)
        await gateway_pb2_grpc.OfferAdminStub(opened).CreateOffer(gateway_pb2.CreateOfferRequest(offer=offer))


async def _click(system: System, rate: int, seconds: int) -> None:
    tick = 0.05
    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
        for _ in range(int(seconds / tick)):
            for _ in range(int(rate * tick)):
                group.create_task(_one(session, system))
            await asyncio.sleep(tick)


async def _one(session: aiohttp.ClientSession, system: System) -> None:
    url = URL(
        f"http://127.0.0.1:{system.ports['http']}/track-hit?offer=plain&gclid={secrets.token_hex(8)}", encoded=True
    )
    async with session.get(url, allow_redirects=False) as response:
        await response.read()


async def _lease(system: System, rate: int, seconds: int) -> None:
    """Leases `rate` IPs a second, and gives each back about a second later."""
    async with channel(f"127.0.0.1:{system.ports['pool']}") as opened:
        leases = pool_pb2_grpc.PoolManagerStub(opened)
        for _ in range(int(seconds * rate / _BATCH)):
            requests = [pool_pb2.LeaseRequest(request_id=secrets.token_hex(8)) for _ in range(_BATCH)]
            granted = await leases.BatchLease(pool_pb2.BatchLeaseRequest(requests=requests))
            await asyncio.sleep(_BATCH / rate)
            releases = [
                pool_pb2.ReleaseRequest(
                    lease_id=result.response.lease.lease_id,
                    fence=result.response.lease.fence,
                    outcome=pool_pb2.SUCCESS,
                )
                for result in granted.results
                if result.HasField("response")
            ]
            await leases.BatchRelease(pool_pb2.BatchReleaseRequest(requests=releases))


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--ips", type=int, help=f"IPs in the pool (default: {sizes.FULL.console.ips})")
    parser.add_argument("--clicks", type=int, help=f"clicks a second (default: {sizes.FULL.console.clicks})")
    parser.add_argument("--seconds", type=int, help=f"how long (default: {sizes.FULL.console.seconds})")


def run(options: argparse.Namespace, size: sizes.Sizes) -> Sequence[Row]:
    """Measures the page with what the options say, and with the usual where they say nothing."""
    named = {name: getattr(options, name) for name in ("ips", "clicks", "seconds")}
    return asyncio.run(measure(replace(size.console, **{name: value for name, value in named.items() if value})))


def main() -> int:
    """Prints and stores the report; returns 1 if a limit was missed."""
    return command.main("console", __doc__, run, add_arguments=_options)


if __name__ == "__main__":
    sys.exit(main())
