"""Finding a click wherever it is: on its way in this gateway, or in the log."""

from collections.abc import Mapping
from typing import Protocol

from services.gateway.model import ClickRecord


class Log(Protocol):
    """The click log."""

    async def get(self, click_id: str) -> ClickRecord | None:
        """Returns one click, whole."""
        ...


class RunningClick(Protocol):
    """A click whose trace is not over."""

    def record(self) -> ClickRecord:
        """Returns it as it is now."""
        ...


class Running(Protocol):
    """The clicks whose traces this gateway runs."""

    @property
    def under_way(self) -> Mapping[str, RunningClick]:
        """Those that are not over, by their ids."""
        ...


class ClickLookup:
    """Finds clicks: one that is under way is further on than its record in the log."""

    def __init__(self, log: Log, running: Running) -> None:
        """Reads from both."""
        self._log = log
        self._running = running

    async def get(self, click_id: str) -> ClickRecord | None:
        """Returns a click as far as it is; None if there is none."""
        running = self._running.under_way.get(click_id)
        if running is not None:
            return running.record()
        return await self._log.get(click_id)
