"""`make run` starts cleanly, stops cleanly, and leaves nothing behind, however it ends."""

import asyncio
import contextlib
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from local.ports import free_ports
from tests.support.system import ROOT, System, state_directory


@pytest.fixture
def system() -> Iterator[System]:
    """A system of this test's own, not started yet."""
    with state_directory() as state:
        system = System(state, ("--cooldown", "1s", "--max-wait", "5s"))
        yield system
        if hasattr(system, "process"):
            system.stop()


PARTS = {"services.gateway", "services.pool_manager", "services.tracer", "local.demo.world", "local.run.forkserver"}


PARTS = {"services.gateway", "services.pool_manager", "services.tracer", "local.demo.world", "local.run.forkserver"}


def processes_of(system: System) -> list[psutil.Process]:
    """Returns all processes below the runner, and what else has the state directory in its command line."""
    mark = str(system.state)
    marked = [process for process in psutil.process_iter() if mark in " ".join(command(process))]
    return [*psutil.Process(system.process.pid).children(recursive=True), *marked]


def command(process: psutil.Process) -> list[str]:
    with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        return list(process.cmdline())
    return []


def words(processes: list[psutil.Process]) -> set[str]:
    return {word for process in processes for word in " ".join(command(process)).split()}


def alive(processes: list[psutil.Process]) -> list[list[str]]:
    # One that is dead and not yet buried has no command line.
    return [words for process in processes if process.is_running() and (words := command(process))]


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return probe.connect_ex(("127.0.0.1", port)) != 0


async def test_ctrl_c_stops_everything_and_the_next_run_has_the_same_data(system: System) -> None:
    system.start()
    first = await system.click("offer=demo&gclid=first")
    assert "clickid" in first.params
    await system.ended(first.click_id)
    processes = processes_of(system)
    assert system.stop() == 0
    assert alive(processes) == []
    assert all(is_free(port) for port in system.ports.values())

    system.start()
    again = await system.recorded(first.click_id)
    assert again.location == first.location
    assert (await system.status()).total == 10


async def test_kill_9_leaves_no_process_and_the_next_run_starts(system: System) -> None:
    system.start()
    first = await system.click("offer=demo&gclid=first")
    await system.ended(first.click_id)
    processes = processes_of(system)
    assert words(processes) >= PARTS
    system.stop(number=signal.SIGKILL)
    # The kernel tells the children; they end by themselves.
    async with asyncio.timeout(20):
        while alive(processes):
            await asyncio.sleep(0.05)

    system.start()
    assert (await system.recorded(first.click_id)).location == first.location
    await system.rested()
    assert "clickid" in (await system.click("offer=demo&gclid=second")).params


def run(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "local", *options], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )


def test_a_taken_port_is_one_clear_line(tmp_path: Path) -> None:
    ports = dict(zip(("http", "internal", "grpc", "pool", "tracer", "demo", "proxy"), free_ports(7), strict=True))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", ports["pool"]))
        taken.listen()
        options = [part for name, port in ports.items() for part in (f"--{name}-port", str(port))]
        done = run("--state-dir", str(tmp_path / "state"), *options)
    said = done.stdout + done.stderr
    assert done.returncode in (1, 2)
    assert "Traceback" not in said
    (line,) = (line for line in said.splitlines() if str(ports["pool"]) in line)
    assert "--pool-port" in line


def test_a_directory_that_cannot_be_written_is_one_clear_line() -> None:
    done = run("--state-dir", "/proc/nowhere")
    said = done.stdout + done.stderr
    assert done.returncode in (1, 2)
    assert "Traceback" not in said
    assert "/proc/nowhere" in said


@pytest.mark.parametrize("option", [("--proxies", "0"), ("--cooldown", "soon"), ("--http-port", "99999")])
def test_an_option_that_makes_no_sense_is_refused(option: tuple[str, str]) -> None:
    done = run(*option)
    assert done.returncode == 2
    assert option[1] in done.stderr


def test_help_names_every_option() -> None:
    done = run("--help")
    assert done.returncode == 0
    for option in ("--proxies", "--cooldown", "--max-wait", "--http-port", "--state-dir"):
        assert option in done.stdout
