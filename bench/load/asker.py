"""Asks the tracer's gRPC service for traces, on orders that come line by line; it is measured by nobody.

`python -m bench.load.asker SERVED PORT COUNT`: `batch` takes COUNT traces of the chain; `warm` takes a few; `hold`
begins COUNT slow ones and answers when the proxy has all of their requests; `finish` lets them end; `one` takes a
single trace and answers with the seconds it took.
"""

import asyncio
import sys
import time

import uvloop
from grpc import aio

from bench.peers.walkers import AT_ONCE, PASSWORD, START, USER, many
from bench.world.chain import ask
from clicktrace.common.v1 import common_pb2
from clicktrace.tracer.v1 import tracer_pb2 as pb
from clicktrace.tracer.v1 import tracer_pb2_grpc as pb_grpc

HELD = "http://slow.example.com/held"
BURST = 500


class Asker:
    """The client and its orders."""

    def __init__(self, channel: aio.Channel, port: int, count: int) -> None:
        """Asks for walks through the proxy on that port."""
        self._stub = pb_grpc.TracerStub(channel)
        self._port = port
        self._count = count
        self._proxy = common_pb2.Proxy(
            ip_address="127.0.0.1", ip_port=port, username=USER, password=PASSWORD, provider="bench"
        )
        self._held: list[asyncio.Task[None]] = []

    async def obey(self, order: str) -> str:
        """Executes an order and returns its answer; RuntimeError for a walk that does not land."""
        match order:
            case "batch":
                await many(lambda: self._trace(START), self._count)
            case "warm":
                await many(lambda: self._trace(START), AT_ONCE)
            case "one":
                began = time.perf_counter()
                await self._trace(START)
                return str(time.perf_counter() - began)
            case "hold":
                # gRPC turns calls away at random when more than 1,000 come before the first is looked at.
                for begun in range(0, self._count, BURST):
                    await self._hold(min(BURST, self._count - begun))
            case "finish":
                await ask(self._port, "/release")
                await asyncio.gather(*self._held)
            case _:
                raise ValueError(order)
        return "done"

    async def _hold(self, count: int) -> None:
        self._held += [asyncio.create_task(self._trace(HELD)) for _ in range(count)]
        held = asyncio.create_task(ask(self._port, f"/until?{len(self._held)}"))
        done, _ = await asyncio.wait([held, *self._held], return_when=asyncio.FIRST_COMPLETED)
        for ended in done - {held}:
            raise RuntimeError(f"a walk ended that should have been held: {ended.exception()}")

    async def _trace(self, url: str) -> None:
        request = pb.TraceRequest(trace_id="bench", url=url, proxy=self._proxy)
        request.limits.hop_timeout.seconds = 60
        events = [event async for event in self._stub.Trace(request, timeout=60)]
        if events[-1].result.stop_reason != pb.Result.LANDING:
            raise RuntimeError(f"the walk did not land: {events[-1]}")


async def main() -> None:
    """Executes one order per line until the input ends."""
    served, port, count = map(int, sys.argv[1:])
    orders = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    async with aio.insecure_channel(f"127.0.0.1:{served}") as channel:
        asker = Asker(channel, port, count)
        while order := (await orders.readline()).decode().strip():
            sys.stdout.write(f"{await asker.obey(order)}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    uvloop.run(main())
