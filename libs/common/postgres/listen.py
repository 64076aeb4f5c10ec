"""PostgreSQL's LISTEN: receives notifications of changes as they are committed."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from libs.common.postgres import database
from libs.common.postgres.errors import FAILURES
from libs.common.process import logs

log = logs.get(__name__)

_CONNECT_SECONDS = 5.0
_CHECK_EVERY_SECONDS, _CHECK_SECONDS = 10.0, 3.0
_LOOK_EVERY_SECONDS = 2.0
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.1, 2.0


@dataclass(frozen=True, slots=True)
class Notification:
    """One message of a channel."""

    channel: str
    payload: str


MISSED = Notification("", "")
"""Messages may have been missed: the follower has to look for itself."""

Handler: TypeAlias = Callable[[Notification], Awaitable[None]]


async def follow(url: str, channels: Sequence[str], handle: Handler, *, application_name: str) -> None:
    """Calls `handle` for each message of the channels, one after another, for ever; a job for a supervisor.

    The connection is one of its own and renewed when it is lost; each one begins with `MISSED`. One that hangs is found
    by a question every 10 s. Through a pooler nothing can be heard; then `MISSED` comes every 2 s. Raises what `handle`
    raises.
    """
    pause = _FIRST_PAUSE_SECONDS
    while True:
        try:
            connection = await database.connect(
                url, timeout=_CONNECT_SECONDS, application_name=f"{application_name}-listen", direct=True
            )
        except database.PoolerBetweenError:
            log.warning(
                "listen.pooler",
                hint="nothing can be heard through a pooler: set DATABASE_LISTEN_URL; until then changes are looked for"
                f" every {_LOOK_EVERY_SECONDS:g} s",
            )
            break
        except FAILURES as error:
            log.warning("listen.down", error=type(error).__name__, retry_in=pause)
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
            continue
        pause = _FIRST_PAUSE_SECONDS
        try:
            lost = await _hear(connection, channels, handle)
        finally:
            connection.terminate()
        log.warning("listen.lost", error=lost)
        # A server that takes a connection and drops it at once must not be asked in a tight loop.
        await asyncio.sleep(pause)
    while True:
        await handle(MISSED)
        await asyncio.sleep(_LOOK_EVERY_SECONDS)


async def _hear(connection: database.Connection, channels: Sequence[str], handle: Handler) -> str:
    """Passes messages on until the connection is lost; returns why it was lost."""
    inbox: asyncio.Queue[Notification | None] = asyncio.Queue()

    def deliver(_connection: object, _pid: int, channel: str, payload: object) -> None:
        inbox.put_nowait(Notification(channel, str(payload)))

    connection.add_termination_listener(lambda _connection: inbox.put_nowait(None))
    try:
        for channel in channels:
            await connection.add_listener(channel, deliver)
    except FAILURES as error:
        return type(error).__name__
    await handle(MISSED)
    while True:
        try:
            async with asyncio.timeout(_CHECK_EVERY_SECONDS):
                notification = await inbox.get()
        except TimeoutError:
            try:
                await connection.execute("SELECT 1", timeout=_CHECK_SECONDS)
            except FAILURES as error:
                return type(error).__name__
            continue
        if notification is None:
            return "ConnectionLost"
        await handle(notification)
