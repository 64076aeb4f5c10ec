"""Programs that are forked off one interpreter are processes of their own, and the runner hears how each ends."""

import asyncio
import itertools
import os
import signal
import subprocess
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from local.errors import LocalError
from local.run.forks import Forked, ForkServer
from tests.support.forks import fork_server

NUMBERS = itertools.count()


def serving(directory: Path, *modules: str) -> AbstractAsyncContextManager[tuple[ForkServer, subprocess.Popen[bytes]]]:
    """Runs a fork server that finds modules in `directory`."""
    return fork_server(*modules, environment=environment(directory))


def environment(directory: Path) -> Mapping[str, str]:
    return {**os.environ, "PYTHONPATH": str(directory)}


async def fork(forks: ForkServer, directory: Path, program: str) -> Forked:
    module = f"program_{next(NUMBERS)}"
    (directory / f"{module}.py").write_text(program)
    return await forks.spawn(module, (), environment=environment(directory), directory=directory)


async def test_forks_share_no_random_numbers(tmp_path: Path) -> None:
    async with serving(tmp_path, "random", "uuid") as (forks, _):
        program = "import random, uuid; print(random.random(), uuid.uuid4())"
        children = [await fork(forks, tmp_path, program) for _ in range(4)]
        said = [(await child.stdout.read()).split() for child in children]
    assert len({number for number, _ in said}) == len({identity for _, identity in said}) == 4


async def test_how_each_ends_is_told(tmp_path: Path) -> None:
    async with serving(tmp_path) as (forks, _):
        wanted = {"raise SystemExit(3)": 3, "1 / 0": 1, "pass": 0}
        children = {program: await fork(forks, tmp_path, program) for program in wanted}
        assert {program: await child.wait() for program, child in children.items()} == wanted
        sleeper = await fork(forks, tmp_path, "print('up', flush=True); import time; time.sleep(600)")
        await sleeper.stdout.readline()
        before = sleeper.returncode
        sleeper.send_signal(signal.SIGTERM)
        assert (before, await sleeper.wait(), sleeper.returncode) == (None, -signal.SIGTERM, -signal.SIGTERM)
        sleeper.send_signal(signal.SIGTERM)  # harmless: nobody else has its number


async def test_all_end_with_the_server(tmp_path: Path) -> None:
    async with serving(tmp_path) as (forks, process):
        sleeper = await fork(forks, tmp_path, "print('up', flush=True); import time; time.sleep(600)")
        await sleeper.stdout.readline()
        process.kill()
        assert await sleeper.wait() == -signal.SIGKILL
        assert await sleeper.stdout.read() == b""  # the kernel has ended it, too
        with pytest.raises(LocalError, match="the fork server"):
            await fork(forks, tmp_path, "pass")


async def test_a_module_that_cannot_be_loaded_ends_the_server(tmp_path: Path) -> None:
    async with serving(tmp_path, "there_is_none") as (forks, process):
        with pytest.raises(LocalError, match="the fork server"):
            await fork(forks, tmp_path, "pass")
        assert process.stderr
        assert b"No module named 'there_is_none'" in await asyncio.to_thread(process.stderr.read)
