"""Gathers the state of pool, clicks and offers once for all browsers, and sends its changes in frames.

A frame holds the changes of a quarter of a second, rendered once for all viewers. A viewer that falls behind gets a
snapshot instead of the frames that it missed, so nothing piles up. Without viewers nothing is read or asked for.
"""

import asyncio
import json
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, aclosing, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from libs.common.errors import ClicktraceError, Code
from libs.common.process import logs
from services.gateway.console import parts
from services.gateway.console.markup import Html
from services.gateway.console.model import Period, PoolChange, SizeAnswer, SizeQuestion
from services.gateway.console.offers import MOST_OFFERS
from services.gateway.console.pool_image import PoolImage
from services.gateway.console.rates import Rates
from services.gateway.console.viewer import Viewer
from services.gateway.drift.stats import OfferHealth
from services.gateway.model import Answer, ClickFilter, ClickRecord

log = logs.get(__name__)

TICK_SECONDS = 0.25
"""The time between two frames."""
_POINT_SECONDS = 2.0
_ASK_SECONDS = 5.0
_PERIODS_SECONDS = 60.0
_OFFERS_SECONDS = 1.0
_HISTORY_SECONDS = 3_600.0
_MAX_POINTS = int(_HISTORY_SECONDS / _POINT_SECONDS)
# The clicks of each kind (landings, others) on the page and in one frame.
_MAX_CLICKS = 40
_MAX_FRAME_CLICKS = 15
_RETRY_SECONDS = 1.0
_LEAST_CLICKS_PER_SECOND = 0.001
# How long gathering goes on after the last viewer has left.
_LINGER_SECONDS = 10.0
_MAX_VIEWERS = 100


class PoolView(Protocol):
    """Reads the pool manager. Every method raises UNAVAILABLE/POOL_UNAVAILABLE."""

    def watch(self) -> AsyncGenerator[PoolChange, None]:
        """Yields the whole pool, then its changes."""
        ...

    async def periods(self, seconds: float) -> Sequence[Period]:
        """Returns the statistics of the last `seconds`, oldest first."""
        ...

    async def estimate(self, question: SizeQuestion) -> SizeAnswer:
        """Returns the number of IPs that a load needs."""
        ...


class Feed(Protocol):
    """Streams clicks as they are answered and as late traces end."""

    def watch(self, offer: str) -> AbstractContextManager[AsyncIterator[ClickRecord]]:
        """Yields the clicks of an offer, of all offers if empty, from now on."""
        ...


class ClickReader(Protocol):
    """Reads click records."""

    async def get(self, click_id: str) -> ClickRecord | None:
        """Returns the whole record of a click; None if there is none."""
        ...

    async def page(self, wanted: ClickFilter, after: str, size: int) -> Sequence[ClickRecord]:
        """Returns up to `size` clicks older than the click `after`, newest first, without hops and parameters."""
        ...

    async def get_many(self, click_ids: Sequence[str]) -> Sequence[ClickRecord]:
        """Returns the whole records of the clicks that exist, by click id."""
        ...


class HealthReader(Protocol):
    """Reads the health of offers."""

    async def page(self, after: str, size: int) -> Sequence[OfferHealth]:
        """Returns up to `size` offers whose names come after `after`, by name."""
        ...


class UnderWay(Protocol):
    """The clicks of this gateway whose traces are not over."""

    def record_of(self, click_id: str) -> ClickRecord | None:
        """Returns one of them as it is now; None if it is none of them."""
        ...

    def under_way(self, most: int) -> Iterator[ClickRecord]:
        """Yields the oldest `most` of them as they are now."""
        ...


@dataclass(frozen=True, slots=True)
class Sources:
    """The parts that a board reads."""

    pool: PoolView
    feed: Feed
    log: ClickReader
    clicks: UnderWay
    health: HealthReader
    offers: Callable[[Mapping[str, OfferHealth]], Html]
    """Renders the table of offers; takes their health by name."""


class Board:
    """Gathers and sends frames while there are viewers."""

    def __init__(self, sources: Sources, *, version: str) -> None:
        """Reads from `sources`; a page of another `version` reloads itself."""
        self._sources = sources
        self._version = version
        self._viewers: set[Viewer] = set()
        self._has_viewers = asyncio.Event()
        self._image = PoolImage()
        self._rates = Rates()
        self._pool_clock = time.time() - time.monotonic()
        self._pool_problem = ""
        self._estimate: SizeAnswer | None = None
        self._parts: dict[str, str] = {}
        self._whole = b""
        self._recent = {kind: deque[ClickRecord](maxlen=_MAX_CLICKS) for kind in (True, False)}
        self._fresh = {kind: deque[ClickRecord](maxlen=_MAX_FRAME_CLICKS) for kind in (True, False)}
        self._arrived = 0
        self._offers_html, self._offers_due = Html(""), 0.0
        self._health: Mapping[str, OfferHealth] = {}
        self._history: Sequence[Period] = ()
        self._points: deque[tuple[float, float, float]] = deque(maxlen=_MAX_POINTS)

    @contextmanager
    def viewer(self) -> Iterator[Viewer]:
        """Adds a viewer for the block. Raises RESOURCE_EXHAUSTED/TOO_MANY_VIEWERS if there are 100 already."""
        if len(self._viewers) >= _MAX_VIEWERS:
            raise ClicktraceError(Code.RESOURCE_EXHAUSTED, "TOO_MANY_VIEWERS", "close another page of the console")
        viewer = Viewer(self._snapshot)
        self._viewers.add(viewer)
        self._has_viewers.set()
        try:
            yield viewer
        finally:
            self._viewers.discard(viewer)

    async def run(self) -> None:
        """Gathers while there are viewers, and 10 s longer, until it is cancelled."""
        while True:
            await self._has_viewers.wait()
            async with asyncio.TaskGroup() as group:
                loops = (self._watch_pool(), self._watch_clicks(), self._ask(), self._tick())
                work = [group.create_task(loop) for loop in loops]
                await self._until_no_viewer()
                for task in work:
                    task.cancel()
            # The next viewer starts with the state of its own time, not with this one.
            self._image, self._rates = PoolImage(), Rates()
            self._parts.clear()
            self._whole = b""
            self._points.clear()

    async def find(self, click_id: str) -> ClickRecord | None:
        """Returns a click as it is now; None if there is none.

        The record of a click that this gateway is tracing is newer than the one in the log.
        """
        return self._sources.clicks.record_of(click_id) or await self._sources.log.get(click_id)

    def close(self) -> None:
        """Disconnects all viewers."""
        for viewer in self._viewers:
            viewer.close()

    def page_parts(self) -> Mapping[str, str]:
        """Returns the rendered parts of the page by name, so that a page is not empty before its first frame."""
        return self._render(self._running())

    async def _until_no_viewer(self) -> None:
        unwatched = 0.0
        while unwatched < _LINGER_SECONDS:
            await asyncio.sleep(1.0)
            unwatched = 0.0 if self._viewers else unwatched + 1.0
        self._has_viewers.clear()

    async def _watch_pool(self) -> None:
        while True:
            self._image.begin()
            try:
                async with aclosing(self._sources.pool.watch()) as changes:
                    async for change in changes:
                        self._pool_problem = ""
                        self._pool_clock = change.at - time.monotonic()
                        self._image.apply(change)
            except ClicktraceError as error:
                self._pool_problem = error.reason
                log.warning("console.pool_unread", reason=error.reason)
            await asyncio.sleep(_RETRY_SECONDS)

    async def _watch_clicks(self) -> None:
        loaded = False
        while True:
            try:
                with self._sources.feed.watch("") as records:
                    if not loaded:
                        newest = await self._sources.log.page(ClickFilter(), "", _MAX_CLICKS)
                        for record in await self._sources.log.get_many([one.click_id for one in newest]):
                            self._note(record)
                        loaded = True
                    async for record in records:
                        self._rates.click(record)
                        self._note(record)
                    return  # the gateway is stopping
            except ClicktraceError as error:
                log.warning("console.clicks_unread", reason=error.reason)
                await asyncio.sleep(_RETRY_SECONDS)

    def _note(self, record: ClickRecord) -> None:
        landed = record.answer is Answer.LANDING
        self._recent[landed].append(record)
        self._fresh[landed].append(record)
        self._arrived += 1

    async def _ask(self) -> None:
        """Asks periodically for what no stream reports: statistics, the pool size estimate, the health of offers."""
        periods_due = 0.0
        while True:
            try:
                if time.monotonic() >= periods_due:
                    self._history = await self._sources.pool.periods(_HISTORY_SECONDS)
                    periods_due = time.monotonic() + _PERIODS_SECONDS
                self._estimate = await self._sources.pool.estimate(
                    SizeQuestion(
                        # Zero would mean "as in the last hour".
                        clicks_per_second=max(_LEAST_CLICKS_PER_SECOND, self._rates.demand(60)),
                        trace_time=self._rates.trace_time or 1.0,
                    )
                )
            except ClicktraceError as error:
                log.info("console.pool_unread", reason=error.reason)
            try:
                known = await self._sources.health.page("", MOST_OFFERS)
                self._health = {health.offer: health for health in known}
            except ClicktraceError as error:
                log.warning("console.health_unread", reason=error.reason)
            await asyncio.sleep(_ASK_SECONDS)

    async def _tick(self) -> None:
        point_due = 0.0
        while True:
            await asyncio.sleep(TICK_SECONDS)
            frame = self._frame()
            now = time.monotonic()
            self._rates.sample(now, self._image.grants)
            if now >= point_due and self._image.total is not None:
                point_due = now + _POINT_SECONDS
                point = (round(time.time(), 1), self._image.total.utilization, round(self._rates.grants(10), 2))
                self._points.append(point)
                frame["point"] = point
                frame["load"] = self._load()
            if frame:
                frame["now"] = self._pool_now()
                text = _event(frame)
                self._whole = b""
                for viewer in tuple(self._viewers):
                    viewer.push(text)

    def _frame(self) -> dict[str, Any]:
        """Returns the changes since the previous frame; empty if there are none."""
        frame: dict[str, Any] = {}
        changed, gone = self._image.take_changes()
        if changed:
            frame["cells"] = [parts.cell(cell) for cell in changed]
        if gone:
            frame["gone"] = gone
        running = self._running()
        rendered = self._render(running)
        if fresh := {name: html for name, html in rendered.items() if self._parts.get(name) != html}:
            frame["parts"] = fresh
            self._parts = dict(rendered)
        if self._arrived:
            shown = sorted((*self._fresh[True], *self._fresh[False]), key=lambda record: record.click_id)
            frame["clicks"] = [[record.click_id, parts.click_row(record)] for record in shown]
            for records in self._fresh.values():
                records.clear()
            self._arrived = 0
        if progress := _progress(running):
            frame["progress"] = progress
        return frame

    def _snapshot(self) -> bytes:
        """Returns the full state after the last frame, rendered once for all viewers that need it before the next."""
        self._whole = self._whole or self._render_whole()
        return self._whole

    def _render_whole(self) -> bytes:
        running = self._running()
        recent = sorted((*self._recent[True], *self._recent[False]), key=lambda record: record.click_id)
        return _event(
            {
                "full": True,
                "version": self._version,
                "now": self._pool_now(),
                "cells": [parts.cell(cell) for cell in self._image.cells.values()],
                "parts": self._render(running),
                "clicks": [[record.click_id, parts.click_row(record)] for record in recent],
                "progress": _progress(running),
                "series": self._series(),
                "load": self._load(),
            }
        )

    def _render(self, running: Sequence[ClickRecord]) -> dict[str, str]:
        image = self._image
        return {
            "notice": parts.notice(self._pool_problem, image.total, len(image.cells)),
            "figures": parts.figures(image.total, self._estimate, self._rates, pool_now=self._pool_now()),
            "legend": parts.legend(image.total),
            "countries": parts.countries(image.countries),
            "running": parts.running(running, time.time()),
            "offers": self._offers(),
        }

    def _offers(self) -> Html:
        now = time.monotonic()
        if now >= self._offers_due:
            self._offers_due = now + _OFFERS_SECONDS
            self._offers_html = self._sources.offers(self._health)
        return self._offers_html

    def _running(self) -> Sequence[ClickRecord]:
        """The traces of this gateway that began first."""
        return list(self._sources.clicks.under_way(parts.MOST_RUNNING))

    def _series(self) -> Sequence[tuple[float, float, float]]:
        """Returns (time, utilization, grants per second) of the last hour: statistics, then the board's own points."""
        since = self._points[0][0] if self._points else float("inf")
        past = [
            (round(period.end, 1), period.utilization, round(period.grants_per_second, 2))
            for period in self._history
            if period.end < since
        ]
        return [*past, *self._points]

    def _load(self) -> Mapping[str, float] | None:
        """Returns the present load in clicks per second, trace time and cooldown in seconds, for the calculator."""
        known = self._estimate
        if known is None:
            return None
        return {"rate": known.clicks_per_second, "trace": known.trace_time, "cooldown": known.cooldown}

    def _pool_now(self) -> float:
        return round(self._pool_clock + time.monotonic(), 3)


def _progress(running: Sequence[ClickRecord]) -> dict[str, int]:
    """Returns a number per running trace; a page that shows the trace reloads it when its number changes."""
    return {record.click_id: len(record.hops) + 100 * len(record.attempts) for record in running}


def _event(frame: Mapping[str, Any]) -> bytes:
    # JSON has no line breaks of its own, so one data line carries it whatever it holds.
    return b"data: " + json.dumps(frame, separators=(",", ":")).encode() + b"\n\n"
