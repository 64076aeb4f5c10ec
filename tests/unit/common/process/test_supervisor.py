"""A job that raises comes back; one that keeps raising is told of, until it has run for a while."""

import asyncio
from collections.abc import Callable, Iterator

import pytest
from structlog.testing import capture_logs

from libs.common.process import supervisor
from libs.common.process.supervisor import Supervisor


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(supervisor, "_FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(supervisor, "_LONGEST_PAUSE_SECONDS", 0.002)
    # Tracebacks as structlog draws them by itself take longer than all that these tests wait for.
    with capture_logs():
        yield


class Job:
    """Raises `times` times, then runs until it is cancelled."""

    def __init__(self, times: int, error: Exception | None = None) -> None:
        self.left = times
        self.error = error or RuntimeError("broken")
        self.starts = 0
        self.steady = asyncio.Event()
        self.cleaned_up = False

    async def run(self) -> None:
        self.starts += 1
        if self.left:
            self.left -= 1
            raise self.error
        self.steady.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.cleaned_up = True


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not is_so():
            await asyncio.sleep(0)


@pytest.mark.parametrize("error", [RuntimeError("a bug"), OSError("no route"), ValueError("a row nobody can read")])
async def test_a_job_that_raises_is_started_again(error: Exception) -> None:
    counted: list[str] = []
    job, jobs = Job(2, error), Supervisor(on_failure=counted.append)
    async with jobs.running("some job", job.run):
        async with asyncio.timeout(5):
            await job.steady.wait()
        assert (job.starts, counted, jobs.failing) == (3, ["some job"] * 2, [])
    assert job.cleaned_up


async def test_one_job_that_fails_leaves_the_others_alone() -> None:
    sick, well, jobs = Job(10**6), Job(0), Supervisor()
    async with jobs.running("well", well.run), jobs.running("sick", sick.run):
        await until(lambda: sick.starts > 5)
        assert (jobs.failing, well.starts) == (["sick"], 1)
    assert jobs.failing == []


async def test_persistent_failures_are_told_and_a_steady_run_ends_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "_STEADY_SECONDS", 0.01)
    told: list[bool] = []
    job, jobs = Job(3), Supervisor()
    jobs.watch(told.append)
    async with jobs.running("some job", job.run):
        await until(lambda: jobs.failing == ["some job"])
        assert told == [True, True, False]
        await until(lambda: not jobs.failing)
        assert told[-1] is True


async def test_a_job_that_runs_shortly_between_failures_still_counts_as_failing() -> None:
    """What fails every second is as sick as what fails at once."""
    job, jobs = Job(3), Supervisor()
    async with jobs.running("some job", job.run):
        async with asyncio.timeout(5):
            await job.steady.wait()
        assert jobs.failing == ["some job"]


async def test_a_job_that_is_done_is_not_started_again() -> None:
    starts = 0

    async def once() -> None:
        nonlocal starts
        starts += 1

    jobs = Supervisor()
    async with jobs.running("once", once):
        for _ in range(10):
            await asyncio.sleep(0)
    assert starts == 1


async def test_leaving_the_block_while_a_job_pauses_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "_FIRST_PAUSE_SECONDS", 60.0)
    monkeypatch.setattr(supervisor, "_LONGEST_PAUSE_SECONDS", 60.0)
    job, jobs = Job(10**6), Supervisor()
    async with asyncio.timeout(5), jobs.running("some job", job.run):
        await until(lambda: job.starts == 1)
    assert job.starts == 1
