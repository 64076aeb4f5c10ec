"""PostgreSQL's LISTEN: being told of changes at once, whoever made them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass

import asyncpg

from libs.common.errors import ClicktraceError
from libs.common.postgres import database
from libs.common.process import logs

log = logs.get(__name__)

_BROKEN = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
_OFFERS, _WRITTEN = "clicks_offers", "clicks_written"
_CHECK_EVERY = 10.0
_CHECK_TIMEOUT = 3.0
_LOOK_EVERY = 2.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0


@dataclass(frozen=True, slots=True)
class Notification:
    """One message of a channel, or, with an empty channel, the news that messages may have been missed."""

    channel: str
    payload: str


async def notifications(url: str, channels: Sequence[str]) -> AsyncIterator[Notification]:
    """Yields messages of channels for ever, on a connection of its own that is renewed when it is lost.

    The first message of each connection is a reset. A connection that hangs is found by a question every 10 s. Through
    a pooler nothing can be heard; then a reset comes every 2 s.
    """
    pause = _FIRST_PAUSE
    while True:
        try:
            connection = await database.connect(
                url, timeout=5, application_name="clicktrace-gateway-listen", direct=True
            )
        except database.PoolerBetweenError:
            log.warning(
                "listen.pooler",
                hint="nothing can be heard through a pooler: set DATABASE_LISTEN_URL; until then offers are looked at "
                f"every {_LOOK_EVERY:g} s, and WatchClicks shows nothing",
            )
            break
        except _BROKEN as error:
            log.warning("listen.down", error=type(error).__name__, retry_in=pause)
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
            continue
        try:
            async for notification in _received(connection, channels):
                pause = _FIRST_PAUSE
                yield notification
        except _BROKEN as error:
            log.warning("listen.lost", error=type(error).__name__)
        finally:
            connection.terminate()
        # A server that takes a connection and drops it at once must not be asked in a tight loop.
        await asyncio.sleep(_FIRST_PAUSE)
    while True:
        yield Notification("", "")
        await asyncio.sleep(_LOOK_EVERY)


async def _received(
    connection: "asyncpg.Connection[asyncpg.Record]", channels: Sequence[str]
) -> AsyncIterator[Notification]:
    inbox: asyncio.Queue[Notification | None] = asyncio.Queue()

    def deliver(_connection: object, _pid: int, channel: str, payload: object) -> None:
        inbox.put_nowait(Notification(channel, str(payload)))

    connection.add_termination_listener(lambda _connection: inbox.put_nowait(None))
    for channel in channels:
        await connection.add_listener(channel, deliver)
    yield Notification("", "")
    while True:
        try:
            async with asyncio.timeout(_CHECK_EVERY):
                notification = await inbox.get()
        except TimeoutError:
            await connection.execute("SELECT 1", timeout=_CHECK_TIMEOUT)
            continue
        if notification is None:
            return
        yield notification


async def follow_changes(
    url: str,
    *,
    on_offer: Callable[[str], Awaitable[None]],
    on_offers: Callable[[], Awaitable[None]],
    on_written: Callable[[str], None],
) -> None:
    """Reports changes for ever: an offer by its name, all offers where news may have been missed, a click by its id."""
    async for notification in notifications(url, [_OFFERS, _WRITTEN]):
        try:
            if notification.channel == _WRITTEN:
                for click_id in notification.payload.split(","):
                    on_written(click_id)
            elif notification.channel == _OFFERS:
                await on_offer(notification.payload)
            else:
                await on_offers()
        except ClicktraceError as error:
            # The connection that brought this is alive, so the next notification will find the database again.
            log.warning("offers.reload_failed", reason=error.reason)
