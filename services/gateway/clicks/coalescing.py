"""Request coalescing: the same click again shares the trace that runs, or gets its result, over all gateways."""

import asyncio
from typing import Protocol

from libs.common.errors import ClicktraceError
from libs.common.process import logs
from libs.common.process.tasks import Background
from services.gateway.clicks.trace import Walk
from services.gateway.model import ClickRecord, ClickStatus, WalkResult

log = logs.get(__name__)

_CLAIM_SECONDS = 1.0
_ALONE_SECONDS = 2.0
_ASK_AGAIN_SECONDS = 1.0


class LeadStore(Protocol):
    """Knows, for all gateways, which click leads each identity. Raises UNAVAILABLE/DATABASE_UNAVAILABLE."""

    async def claim_leader(self, identity: str, click_id: str, seconds: float) -> str:
        """Returns the id of the leading click; makes this click leader for `seconds` if there is none."""
        ...

    async def extend_lead(self, identity: str, click_id: str, seconds: float) -> None:
        """Extends the lead of a click to `seconds` from now; does nothing if another click leads by now."""
        ...


class ClickReader(Protocol):
    """Reads click records."""

    async def get(self, click_id: str) -> ClickRecord | None:
        """Returns the whole record of a click; None if there is none."""
        ...


class Coalescer:
    """Finds for each click the walk that it shares with others, here or at another gateway."""

    def __init__(self, leads: LeadStore, clicks: ClickReader, background: Background, *, lead_seconds: float) -> None:
        """A click leads for `lead_seconds` at most; after that another one may lead."""
        self._leads = leads
        self._clicks = clicks
        self._background = background
        self._lead_seconds = lead_seconds
        self._walks: dict[str, asyncio.Future[Walk]] = {}
        self._awaited: dict[str, asyncio.Event] = {}
        self._alone_until = 0.0

    async def join(self, identity: str, own: Walk) -> Walk:
        """Returns the walk that an identity shares: `own` if this click leads, else that of the click that does.

        The leader calls `conclude` at the end. While the database is gone, clicks are joined within this gateway.
        """
        known = self._walks.get(identity)
        if known is not None:
            return await asyncio.shield(known)
        claimed: asyncio.Future[Walk] = asyncio.get_running_loop().create_future()
        self._walks[identity] = claimed
        walk = own
        try:
            leader = await self._leader(identity, own.click_id)
            if leader != own.click_id:
                walk = Walk(leader)
                self._background.start(self._follow(identity, walk), name=f"follow:{leader}")
        finally:
            # Also when this click is cancelled: those that wait for the answer must not wait for ever.
            claimed.set_result(walk)
        return walk

    async def conclude(self, identity: str, own: Walk, *, keep: float) -> None:
        """Ends the lead of a click whose walk has ended; its result serves the same click for `keep` seconds more."""
        self._forget(identity)
        if asyncio.get_running_loop().time() < self._alone_until:
            return
        try:
            async with asyncio.timeout(_CLAIM_SECONDS):
                await self._leads.extend_lead(identity, own.click_id, keep)
        except (ClicktraceError, TimeoutError) as error:
            log.warning("join.not_kept", click_id=own.click_id, error=type(error).__name__)

    def written(self, click_id: str) -> None:
        """Receives the id of a click of which a record was written, here or elsewhere."""
        awaited = self._awaited.get(click_id)
        if awaited is not None:
            awaited.set()

    async def _leader(self, identity: str, click_id: str) -> str:
        loop = asyncio.get_running_loop()
        if loop.time() < self._alone_until:
            return click_id
        try:
            async with asyncio.timeout(_CLAIM_SECONDS):
                return await self._leads.claim_leader(identity, click_id, self._lead_seconds)
        except (ClicktraceError, TimeoutError) as error:
            # Visitors gain nothing from waiting, each in turn, for a database that is gone.
            self._alone_until = loop.time() + _ALONE_SECONDS
            log.warning("join.alone", click_id=click_id, error=type(error).__name__, seconds=_ALONE_SECONDS)
            return click_id

    async def _follow(self, identity: str, walk: Walk) -> None:
        """Waits for the record of a walk that another gateway leads, or that has ended."""
        awaited = self._awaited[walk.click_id] = asyncio.Event()
        try:
            async with asyncio.timeout(self._lead_seconds):
                while not await self._read(walk):
                    await _either(awaited, _ASK_AGAIN_SECONDS)
                    awaited.clear()
        except TimeoutError:
            log.warning("join.timeout", leader=walk.click_id)
        finally:
            del self._awaited[walk.click_id]
            self._forget(identity)
            if not walk.ended.is_set():
                walk.end(None, "JOIN_TIMEOUT")

    async def _read(self, walk: Walk) -> bool:
        try:
            record = await self._clicks.get(walk.click_id)
        except ClicktraceError as error:
            log.warning("join.unread", leader=walk.click_id, reason=error.reason)
            return False
        if record is None or record.status in (ClickStatus.PENDING, ClickStatus.TRACING):
            return False
        walk.hops.extend(record.hops)
        walk.end(*_ending(record))
        return True

    def _forget(self, identity: str) -> None:
        self._walks.pop(identity, None)


async def _either(event: asyncio.Event, seconds: float) -> None:
    """Waits for an event for up to `seconds`: a notification may be lost."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return


def _ending(record: ClickRecord) -> tuple[WalkResult | None, str]:
    """Returns the result of a recorded walk, and the reason why there is none."""
    if record.status is ClickStatus.COMPLETED:
        return WalkResult(record.final_url, record.stop_reason, 0.0, 0), ""
    if record.status is ClickStatus.ABANDONED:
        return None, "ABANDONED"
    attempts = record.attempts
    return None, (attempts[-1].failure_reason if attempts else "") or record.reason
