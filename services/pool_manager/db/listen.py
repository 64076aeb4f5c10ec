"""Hears from PostgreSQL that an IP came free, on whatever replica or by whatever SQL."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import asyncpg

from libs.common.postgres import database
from libs.common.process import logs

log = logs.get(__name__)

_CHANNEL = "pool_freed"
_RETRY_SECONDS = 1.0
_CONNECT_SECONDS = 3.0
_CHECK_SECONDS = 10.0
_MEANWHILE = "waiters look every half second meanwhile"


@asynccontextmanager
async def listening(url: str, heard: Callable[[], None]) -> AsyncIterator[None]:
    """Calls `heard` for every notification while the block runs.

    The connection is one of its own, and renewed when it is lost; what was told meanwhile counts as one notification.
    Through a pooler nothing can be heard; that is logged once.
    """
    task = asyncio.create_task(_listen(url, heard), name="listen")
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _listen(url: str, heard: Callable[[], None]) -> None:
    while True:
        try:
            connection = await database.connect(
                url, timeout=_CONNECT_SECONDS, application_name="pool_manager-listen", direct=True
            )
            try:
                await _hear(connection, heard)
            finally:
                connection.terminate()
        except database.PoolerBetweenError:
            log.warning("pool.deaf", error="PoolerBetween", hint=f"set DATABASE_LISTEN_URL; {_MEANWHILE}")
            return
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            # TimeoutError is an OSError.
            log.warning("pool.deaf", error=type(error).__name__, hint=_MEANWHILE)
        await asyncio.sleep(_RETRY_SECONDS)


async def _hear(connection: "asyncpg.Connection[asyncpg.Record]", heard: Callable[[], None]) -> None:
    lost = asyncio.Event()
    connection.add_termination_listener(lambda _connection: lost.set())
    await connection.add_listener(_CHANNEL, lambda *_notification: heard())
    # What was told before this connection listened is missed, so look.
    heard()
    while not lost.is_set():
        with suppress(TimeoutError):
            async with asyncio.timeout(_CHECK_SECONDS):
                await lost.wait()
            return
        # A server that vanished without a word is found out by a question.
        await connection.execute("SELECT", timeout=_CONNECT_SECONDS)
