"""Tasks that outlive the request that began them, owned, counted and ended in order."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from libs.common.process import logs

log = logs.get(__name__)


class Background:
    """Owns tasks: bounds their number, logs what they fail of, and at a stop lets them finish, then cancels them."""

    def __init__(self, limit: int) -> None:
        """Takes up to `limit` tasks at once."""
        self._limit = limit
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def running(self) -> int:
        """How many tasks run."""
        return len(self._tasks)

    @property
    def is_full(self) -> bool:
        """Says whether no further task should be started."""
        return len(self._tasks) >= self._limit

    def start(self, work: Coroutine[Any, Any, None], *, name: str) -> None:
        """Runs a coroutine as a task in the present context (and so in the present span)."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    async def drain(self, grace: float) -> None:
        """Waits `grace` seconds for all tasks, then cancels the rest and waits for their clean-up."""
        if self._tasks and grace:
            log.info("background.draining", tasks=len(self._tasks), grace=grace)
            await asyncio.wait(self._tasks, timeout=grace)
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("background.failed", task=task.get_name(), exc_info=error)
