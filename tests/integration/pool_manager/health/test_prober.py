"""Proves that IPs that were taken out come back when a real request passes through them, and try ever less often while
none does; with real proxies and a real origin.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web

from local.demo.proxy import Credentials as ProxyCredentials
from local.demo.proxy import http_proxy
from local.demo.socks import socks_proxy
from services.pool_manager.db.leases import PostgresLeases
from services.pool_manager.db.pool import PostgresPool
from services.pool_manager.health.fetcher import ProbeFetcher, read_exit
from services.pool_manager.health.prober import Exit, Prober
from services.pool_manager.inventory.credentials import Credentials
from services.pool_manager.model.leases import Grant, Outcome, Refusal
from services.pool_manager.model.proxies import Protocol, ProxySpec
from tests.integration.pool_manager.store import RECORD, Pool, lease, release, rows, try_lease

SECRET = ProxyCredentials("customer", "s3cret")


@dataclass
class Origin:
    """Answers with the address it sees, or with whatever it is told to."""

    url: str = ""
    answer: str | None = None
    seen: list[str] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.Response:
        self.seen.append(str(request.remote))
        if self.answer is None:
            return web.json_response({"ip": request.remote, "country": "US"})
        return web.Response(text=self.answer)


@pytest.fixture
async def origin() -> AsyncIterator[Origin]:
    origin = Origin()
    application = web.Application()
    application.router.add_get("/", origin.handle)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    origin.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    yield origin
    await runner.cleanup()


@pytest.fixture
async def proxies(admin_store: PostgresPool, pool: Pool) -> AsyncIterator[None]:
    """Two real proxies in the pool, HTTP and SOCKS5, each with an address of its own, and both in quarantine."""
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(http_proxy("127.77.1.1", 0, source="127.77.1.1", credentials=SECRET))
        socks = await stack.enter_async_context(socks_proxy("127.77.1.2", 0, source="127.77.1.2", credentials=SECRET))
        specs = [
            ProxySpec(http.host, http.port, Protocol.HTTP, "luna", "us", 0.0),
            ProxySpec(socks.host, socks.port, Protocol.SOCKS5, "luna", "us", 0.0),
        ]
        await admin_store.provision(specs, RECORD)
        await pool.execute("UPDATE ip_rotation_pool SET is_healthy = false, consecutive_failures = 3")
        yield


@pytest.fixture
def credentials(tmp_path: Path) -> Credentials:
    (tmp_path / "luna.toml").write_text('username = "customer"\npassword = "s3cret"')
    return Credentials(tmp_path)


@pytest.mark.usefixtures("proxies")
async def test_a_request_that_passes_brings_an_ip_back(
    admin_store: PostgresPool, leases: PostgresLeases, pool: Pool, origin: Origin, credentials: Credentials
) -> None:
    prober = Prober(admin_store, credentials, ProbeFetcher(origin.url), first_pause=60.0)
    assert await prober.round() == 2
    assert sorted(origin.seen) == ["127.77.1.1", "127.77.1.2"]
    assert await rows(
        pool, "SELECT is_healthy, consecutive_failures, exit_address, exit_country FROM pool.proxies ORDER BY id"
    ) == [
        {"is_healthy": True, "consecutive_failures": 0, "exit_address": f"127.77.1.{last}", "exit_country": "us"}
        for last in (1, 2)
    ]
    assert isinstance(await try_lease(leases, "click"), Grant)
    assert await prober.round() == 0


@pytest.mark.usefixtures("proxies")
async def test_the_pause_doubles_while_nothing_passes(
    admin_store: PostgresPool, leases: PostgresLeases, pool: Pool, origin: Origin, tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong"
    wrong.mkdir()
    (wrong / "luna.toml").write_text('username = "customer"\npassword = "wrong"')
    prober = Prober(admin_store, Credentials(wrong), ProbeFetcher(origin.url), first_pause=60.0)
    pauses = []
    for _ in range(8):
        assert await prober.round() == 2
        assert await prober.round() == 0
        pauses.append(await pool.fetchval("SELECT min(extract(epoch FROM probe_pause))::integer FROM pool.proxies"))
        await pool.execute("UPDATE pool.proxies SET probe_at = now() - interval '1 second'")
    assert pauses == [60, 120, 240, 480, 960, 1920, 3600, 3600]
    assert origin.seen == []
    assert isinstance(await try_lease(leases, "click"), Refusal)


@pytest.mark.usefixtures("proxies")
async def test_two_replicas_never_try_one_ip_at_once(
    admin_store: PostgresPool, origin: Origin, credentials: Credentials
) -> None:
    probers = [Prober(admin_store, credentials, ProbeFetcher(origin.url), first_pause=60.0) for _ in range(4)]
    assert sum(await asyncio.gather(*(prober.round() for prober in probers))) == 2


@pytest.mark.usefixtures("proxies")
async def test_a_reset_by_hand_outlives_a_probe_that_failed(admin_store: PostgresPool, pool: Pool) -> None:
    probes = await admin_store.claim_probes(8, 60.0)
    await pool.execute("UPDATE ip_rotation_pool SET is_healthy = true, consecutive_failures = 0")
    for probe in probes:
        assert not await admin_store.probed(probe, None, 60.0)
    assert await pool.fetchval("SELECT bool_and(is_healthy) FROM ip_rotation_pool")


async def test_a_quarantined_ip_rests_before_it_is_tried(
    admin_store: PostgresPool, leases: PostgresLeases, pool: Pool
) -> None:
    await admin_store.provision([ProxySpec("proxy", 7000, Protocol.HTTP, "luna", "us", 0.0)], RECORD)
    for number in range(3):
        await release(leases, (await lease(leases, f"click-{number}")).token, Outcome.PROXY_FAILURE)
    assert await admin_store.claim_probes(8, 60.0) == []
    assert 55 < await pool.fetchval("SELECT extract(epoch FROM probe_at - now()) FROM pool.proxies") <= 60


@pytest.mark.parametrize(
    ("body", "seen"),
    [
        ("203.0.113.7\n", Exit("203.0.113.7", "")),
        ('{"ip": "2001:DB8::1", "country": "GB"}', Exit("2001:db8::1", "gb")),
        ('{"origin": "203.0.113.7", "country": "United Kingdom"}', Exit("203.0.113.7", "")),
        ('{"query": "203.0.113.7", "countryCode": "DE"}', Exit("203.0.113.7", "de")),
        ("<html>blocked</html>", None),
        ('["203.0.113.7"]', None),
        ('{"ip": 5}', None),
        ("", None),
    ],
)
def test_the_answer_of_a_probe_url_is_an_address_or_nothing(body: str, seen: Exit | None) -> None:
    assert read_exit(body.encode()) == seen


@pytest.mark.usefixtures("proxies")
async def test_an_answer_without_end_or_sense_is_a_failure(
    admin_store: PostgresPool, pool: Pool, origin: Origin, credentials: Credentials
) -> None:
    origin.answer = "x" * 200_000
    await Prober(admin_store, credentials, ProbeFetcher(origin.url), first_pause=60.0).round()
    assert len(origin.seen) == 2
    assert not await pool.fetchval("SELECT bool_or(is_healthy) FROM ip_rotation_pool")
