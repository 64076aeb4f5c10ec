"""The same job in one process: what a click costs where nothing is a service; the measure for `make bench-click`.

`python -m bench.peers.single DATABASE_URL PROXY_PORT TRACKING_URL` prints its port. An aiohttp server takes the click
and records it, leases an IP with `FOR UPDATE SKIP LOCKED`, walks the chain with pycurl in the same event loop, releases
the IP, merges the parameters, records the end, and answers. It is the plain program that one would write first: no
gRPC, groups, target policy, health, telemetry or coalescing; a statement is sent for each step of each click.
"""

import asyncio
import json
import sys
import time
import uuid
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit, urlunsplit

import asyncpg
import pycurl
import uvloop
from aiohttp import web

from services.tracer.fetch.driver import Driver
from services.tracer.fetch.sockets import Sockets

_SCHEMA = """
CREATE TABLE single_proxies (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ip_address text NOT NULL,
    available_at timestamptz NOT NULL DEFAULT now() - interval '1 hour'
);
CREATE INDEX ON single_proxies (available_at);
CREATE TABLE single_clicks (
    click_id text PRIMARY KEY,
    offer text NOT NULL,
    query text NOT NULL,
    status text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    proxy_id bigint,
    location text,
    hops jsonb
);
INSERT INTO single_proxies (ip_address)
SELECT '127.20.' || n / 250 || '.' || n % 250 + 1 FROM generate_series(0, 9999) n;
"""
_BEGIN = "INSERT INTO single_clicks (click_id, offer, query, status) VALUES ($1, $2, $3, 'PENDING')"
_LEASE = """
UPDATE single_proxies SET available_at = now() + interval '75 seconds'
WHERE id = (
    SELECT id FROM single_proxies WHERE available_at <= now() ORDER BY available_at LIMIT 1 FOR UPDATE SKIP LOCKED
)
RETURNING id, ip_address
"""
_RELEASE = "UPDATE single_proxies SET available_at = now() + $2 * interval '1 second' WHERE id = $1"
_END = """
UPDATE single_clicks SET status = 'COMPLETED', ended_at = now(), proxy_id = $2, location = $3, hops = $4
WHERE click_id = $1
"""
_MAX_HOPS = 20
_COOLDOWN = 1.0


class Walk:
    """One chain, walked with one handle."""

    def __init__(self, driver: Driver, proxy: str) -> None:
        """Prepares a walk through a proxy."""
        self._driver = driver
        self._location = ""
        # As in the tracer: libcurl looks through all addresses that it remembers with every transfer.
        self._share = pycurl.CurlShare()
        self._share.setopt(pycurl.SH_SHARE, pycurl.LOCK_DATA_DNS)
        self._curl = pycurl.Curl()
        for option, value in (
            (pycurl.SHARE, self._share),
            (pycurl.PROXY, proxy),
            (pycurl.COOKIEFILE, ""),
            (pycurl.WRITEFUNCTION, len),
            (pycurl.HEADERFUNCTION, self._header),
            (pycurl.FRESH_CONNECT, 1),
            (pycurl.TIMEOUT_MS, 10_000),
        ):
            self._curl.setopt(option, value)
        self.hops: list[dict[str, object]] = []

    async def to_the_end(self, url: str) -> str:
        """Follows every Location and returns where the chain ends."""
        for _ in range(_MAX_HOPS):
            self._location = ""
            self._curl.setopt(pycurl.URL, url)
            began = time.perf_counter()
            outcome = await self._driver.perform(self._curl, Sockets(None))
            if outcome.code:
                raise RuntimeError(outcome.message)
            status = self._curl.getinfo(pycurl.RESPONSE_CODE)
            self.hops.append({"url": url, "status": status, "seconds": time.perf_counter() - began})
            if not self._location:
                return url
            url = urljoin(url, self._location)
            self._curl.setopt(pycurl.FRESH_CONNECT, 0)
        raise RuntimeError("the chain does not end")

    def close(self) -> None:
        """Gives the handle back."""
        self._curl.close()
        self._share.close()

    def _header(self, line: bytes) -> None:
        if line[:9].lower() == b"location:":
            self._location = line[9:].strip().decode()


class Clicks:
    """The click endpoint."""

    def __init__(self, database: "asyncpg.Pool[asyncpg.Record]", driver: Driver, proxy_port: int, url: str) -> None:
        """Serves one offer whose chain begins at a URL."""
        self._database = database
        self._driver = driver
        self._proxy_port = proxy_port
        self._url = url

    async def handle(self, request: web.Request) -> web.Response:
        """Serves a click."""
        click_id = str(uuid.uuid4())
        inbound = [pair for pair in parse_qsl(request.query_string, keep_blank_values=True) if pair[0] != "offer"]
        await self._database.execute(_BEGIN, click_id, request.query["offer"], request.query_string)
        leased = await self._database.fetchrow(_LEASE)
        if leased is None:
            return web.Response(status=302, headers={"Location": self._url})
        walk = Walk(self._driver, f"http://{leased['ip_address']}:{self._proxy_port}")
        try:
            final = await walk.to_the_end(self._url)
        finally:
            walk.close()
            await self._database.execute(_RELEASE, leased["id"], _COOLDOWN)
        location = _merged(final, inbound)
        await self._database.execute(_END, click_id, leased["id"], location, json.dumps(walk.hops))
        return web.Response(
            status=302, headers={"Location": location, "Cache-Control": "no-store", "X-Request-Id": click_id}
        )


def _merged(url: str, inbound: list[tuple[str, str]]) -> str:
    parts = urlsplit(url)
    own = dict(inbound)
    traced = [pair for pair in parse_qsl(parts.query, keep_blank_values=True) if pair[0] not in own]
    return urlunsplit(parts._replace(query=urlencode([*traced, *inbound])))


async def serve(url: str, proxy_port: int, tracking_url: str) -> None:
    """Serves until the process is ended."""
    async with asyncpg.create_pool(url, min_size=10, max_size=10) as database, Driver() as driver:
        await database.execute(_SCHEMA)
        application = web.Application()
        application.router.add_get("/track-hit", Clicks(database, driver, proxy_port, tracking_url).handle)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, backlog=1024)
        await site.start()
        print(runner.addresses[0][1], flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
