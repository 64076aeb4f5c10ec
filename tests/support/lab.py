"""Chains and proxies that a test scripts itself, in front of a system that knows nothing of that."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from clicktrace.gateway.v1 import gateway_pb2, gateway_pb2_grpc
from clicktrace.pool.v1 import pool_pb2, pool_pb2_grpc
from libs.common.rpc import times
from libs.common.rpc.client import channel
from local.ports import free_ports
from tests.support.origin import Origin, Request, Wire, answer, page, redirect
from tests.support.scripted_proxy import ForwardProxy
from tests.support.system import System

# Each lab has its own, and so its own IPs; the demo's proxies are elsewhere.
_countries = itertools.chain.from_iterable(
    line.split()
    for line in (
        "fr it es nl be pl se no dk fi at ch cz pt gr ie hu ro bg hr si sk lt lv ee is lu mt cy br",
        "mx ar cl pe co uy py bo ec ve jp kr in id th vn my ph nz za eg ma ng ke gh tn sn tr il ae",
    )
)


@dataclass
class Lab:
    """One country of the pool that only this test uses, and an offer network whose every answer the test gives."""

    system: System
    country: str
    origin: Origin
    stack: AsyncExitStack
    pool: "pool_pb2_grpc.PoolAdminAsyncStub"
    offers: "gateway_pb2_grpc.OfferAdminAsyncStub"
    log: "gateway_pb2_grpc.ClickLogAsyncStub"
    pages: dict[str, bytes | None] = field(default_factory=dict)
    """What the origin answers, by path: None breaks the connection; 404 for all others."""
    gates: dict[str, asyncio.Event] = field(default_factory=dict)
    """Paths that answer only when their event is set."""
    asked: list[str] = field(default_factory=list)
    """The paths and queries that were asked for, in order."""

    def url(self, path: str, host: str = "chain") -> str:
        """Names a page of the network."""
        return f"http://{host}.localhost:{self.origin.port}{path}"

    async def add_proxies(self, count: int = 1, *, cooldown: float = 1.0) -> None:
        """Puts proxies that work into the pool; not less than a second of rest, so that a shorter wait is in vain."""
        specs = []
        for _ in range(count):
            proxy = await self.stack.enter_async_context(ForwardProxy(self.origin))
            specs.append(self._spec(proxy.port, cooldown))
        await self._provision(specs)

    async def add_dead_proxy(self) -> None:
        """Puts a proxy into the pool where nobody listens."""
        await self._provision([self._spec(free_ports(1)[0], 60)])

    async def offer(self, name: str = "", tracking_url: str = "", **fields: Any) -> str:
        """Creates an offer of this lab's country, and returns its name; the name of the country stands before it."""
        full = f"{self.country}-{name}" if name else self.country
        if "max_wait" in fields:
            fields["max_wait"] = times.to_duration(fields["max_wait"])
        offer = gateway_pb2.Offer(
            name=full, tracking_url=tracking_url or self.url("/start"), **{"country": self.country, **fields}
        )
        await self.offers.CreateOffer(gateway_pb2.CreateOfferRequest(offer=offer), wait_for_ready=True)
        return full

    def chain(self, *queries: str, gate: str = "") -> None:
        """Lets /start lead over /1, /2, … to the landing page; each query is added by the step that leads on with it.

        The step `gate`, a path, waits for its event.
        """
        path = "/start"
        for number, query in enumerate(queries, 1):
            last = number == len(queries)
            following = "/landing" if last else f"/{number}"
            url = self.url(following, host="shop" if last else f"hop{number}")
            self.pages[path] = redirect(f"{url}?{query}" if query else url)
            path = following
        self.pages["/landing"] = page("<h1>Sale</h1>")
        if gate:
            self.gates[gate] = asyncio.Event()

    async def walked(self, path: str, count: int = 1) -> None:
        """Waits until a page was asked for so often."""
        await self.origin.until(lambda: sum(asked.partition("?")[0] == path for asked in self.asked) >= count)

    async def leases(self) -> Sequence[pool_pb2.LeaseInfo]:
        """Returns the leases of this country that are held now."""
        response = await self.pool.ListLeases(pool_pb2.ListLeasesRequest(country=self.country))
        return list(response.leases)

    async def count(self) -> pool_pb2.PoolStatus:
        """Counts the IPs of this country."""
        response = await self.pool.GetPoolStatus(pool_pb2.GetPoolStatusRequest())
        for status in response.countries:
            if status.country == self.country:
                return status
        raise AssertionError(f"there are no IPs in {self.country}")

    async def until_available(self, count: int, *, seconds: float = 30) -> None:
        """Waits until so many IPs of this country can be leased."""
        async with asyncio.timeout(seconds):
            while (await self.count()).available < count:
                await asyncio.sleep(0.02)

    async def respond(self, request: Request, wire: Wire) -> bytes | None:
        """Answers a request to the network."""
        self.asked.append(request.path)
        path = urlsplit(request.path).path
        gate = self.gates.get(path)
        if gate is not None:
            await gate.wait()
        told = self.pages.get(path, answer(404))
        if told is None:
            wire.reset()
        return told

    def _spec(self, port: int, cooldown: float) -> pool_pb2.ProxySpec:
        return pool_pb2.ProxySpec(
            ip_address="127.0.0.1", ip_port=port, country=self.country, cooldown=times.to_duration(cooldown)
        )

    async def _provision(self, specs: Sequence[pool_pb2.ProxySpec]) -> None:
        await self.pool.ProvisionProxies(pool_pb2.ProvisionProxiesRequest(proxies=specs), wait_for_ready=True)


@asynccontextmanager
async def open_lab(system: System, ports: Mapping[str, int] | None = None) -> AsyncIterator[Lab]:
    """Gives a test its own corner of a system; what it puts there stays, and disturbs nobody."""
    places = {**system.ports, **(ports or {})}
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(channel(f"dns:///127.0.0.1:{places['pool']}"))
        gateway = await stack.enter_async_context(channel(f"dns:///127.0.0.1:{places['grpc']}"))
        held: list[Lab] = []

        async def respond(request: Request, wire: Wire) -> bytes | None:
            return await held[0].respond(request, wire)

        origin = await stack.enter_async_context(Origin(respond))
        made = Lab(
            system,
            next(_countries),
            origin,
            stack,
            pool_pb2_grpc.PoolAdminStub(pool),
            gateway_pb2_grpc.OfferAdminStub(gateway),
            gateway_pb2_grpc.ClickLogStub(gateway),
        )
        held.append(made)
        yield made
