"""From process start to a graceful stop."""

import asyncio
import gc
import os
import signal
from collections.abc import Awaitable, Callable

import uvloop

from libs.common.process import logs

log = logs.get(__name__)


def tune_garbage_collection() -> None:
    """Makes garbage collections rare once a process is ready: what exists by now stays, and cycles are few later.

    Saves 5 % of the CPU of a walk and as much of a click, measured.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 100)


def run(main: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    """Runs `main` on uvloop until it returns.

    The first SIGTERM or SIGINT sets the event that `main` is given; `main` is then to finish what is under way and
    return. The second ends the process at once.
    """

    async def supervised() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()

        def on_signal(name: str) -> None:
            if stop.is_set():
                log.warning("process.killed", signal=name, hint="a second signal ends the process at once")
                os._exit(1)
            log.info("process.stopping", signal=name)
            stop.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, on_signal, number.name)
        await main(stop)

    uvloop.run(supervised())
