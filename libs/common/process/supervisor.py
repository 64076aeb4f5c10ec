"""Background jobs that outlive their failures, and tell readiness when they do not."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

from libs.common.process import logs

log = logs.get(__name__)

Job: TypeAlias = Callable[[], Coroutine[Any, Any, None]]
"""Begins a job; called again after a failure."""

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.5, 30.0
_STEADY_SECONDS = 10.0
"""A job that has run this long after a failure has got over it."""
_PERSISTENT = 3
"""So many failures without a steady run in between are no passing trouble."""


class Supervisor:
    """Runs jobs, each inside a block of its own; a job that raises is logged, counted and started again.

    The pauses before a new start double from 0.5 s to 30 s, each by chance up to a quarter longer, so that replicas do
    not come back in step.
    """

    def __init__(
        self,
        *,
        on_start: Callable[[str], None] = lambda _job: None,
        on_failure: Callable[[str], None] = lambda _job: None,
    ) -> None:
        """`on_start` receives the name of each job once, `on_failure` each time the job has raised."""
        self._on_start = on_start
        self._on_failure = on_failure
        self._failures: dict[str, int] = {}
        self._watchers: list[Callable[[bool], None]] = []

    @property
    def failing(self) -> list[str]:
        """The names of the jobs whose failures persist: three in a row, none of them 10 s after the one before."""
        return sorted(name for name, count in self._failures.items() if count >= _PERSISTENT)

    def watch(self, on_change: Callable[[bool], None]) -> None:
        """Calls `on_change` with whether all jobs are well, each time that may have changed."""
        self._watchers.append(on_change)

    @asynccontextmanager
    async def running(self, name: str, job: Job) -> AsyncIterator[None]:
        """Runs a job beside the block; leaving the block cancels it and waits for its clean-up."""
        self._on_start(name)
        task = asyncio.create_task(self._keep(name, job), name=name)
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})
            self._failures.pop(name, None)
            if not task.cancelled() and (error := task.exception()) is not None:
                log.error("job.failed", job=name, exc_info=error)

    async def _keep(self, name: str, job: Job) -> None:
        loop = asyncio.get_running_loop()
        while True:
            steady = loop.call_later(_STEADY_SECONDS, self._recovered, name) if self._failures.get(name) else None
            try:
                return await job()
            except Exception:
                # Whatever it is: a job that stays away would be missed by nobody until it is too late.
                failures = self._failed(name)
                pause = min(_FIRST_PAUSE_SECONDS * 2 ** min(failures - 1, 10), _LONGEST_PAUSE_SECONDS)
                pause *= 1 + random.random() / 4  # noqa: S311 - no secret
                log.exception("job.failed", job=name, failures=failures, again_in=round(pause, 1))
            finally:
                if steady is not None:
                    steady.cancel()
            await asyncio.sleep(pause)

    def _failed(self, name: str) -> int:
        self._failures[name] = self._failures.get(name, 0) + 1
        self._on_failure(name)
        self._tell()
        return self._failures[name]

    def _recovered(self, name: str) -> None:
        if self._failures.pop(name, 0):
            log.info("job.recovered", job=name)
        self._tell()

    def _tell(self) -> None:
        for watcher in self._watchers:
            watcher(not self.failing)
