"""The demo world as a process: `python -m local.demo.world` serves the proxies and the offer network until SIGTERM."""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from libs.common.process import lifecycle, logs
from local.demo import credentials, offers
from local.demo.addresses import proxy_address
from local.demo.proxy import http_proxy, resolve_by_dns
from local.errors import LocalError

_HOST = "127.0.0.1"


async def resolve(host: str, port: int) -> tuple[str, int]:
    """Takes the names of the demo network to this machine, and asks the DNS for all others."""
    if host == "localhost" or host.endswith(".localhost"):
        return _HOST, port
    return await resolve_by_dns(host, port)


async def serve(arguments: argparse.Namespace, stop: asyncio.Event) -> None:
    """Serves until `stop` is set. The offer network comes last: when it answers, everything does."""
    secret = credentials.read(arguments.credentials)
    async with AsyncExitStack() as stack:
        for index in range(1, arguments.proxies + 1):
            address = proxy_address(index)
            proxy = http_proxy(address, arguments.proxy_port, source=address, credentials=secret, resolver=resolve)
            await stack.enter_async_context(proxy)
        await stack.enter_async_context(offers.serve(_HOST, arguments.port, arguments.slow_hop))
        await stop.wait()


def main(arguments: Sequence[str]) -> int:
    """Runs the demo world and returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m local.demo.world", description=__doc__)
    parser.add_argument("--credentials", type=Path, required=True, help="the secret file of the provider")
    parser.add_argument("--proxies", type=int, default=10, help="how many proxies")
    parser.add_argument("--proxy-port", type=int, default=8899, help="their port")
    parser.add_argument("--port", type=int, default=8090, help="the port of the offer network")
    parser.add_argument("--slow-hop", type=float, default=4.5, help="seconds that each slow hop takes")
    parsed = parser.parse_args(arguments)
    logs.setup("demo")
    try:
        lifecycle.run(lambda stop: serve(parsed, stop))
    except (LocalError, OSError) as error:
        print(f"the demo world cannot start: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
