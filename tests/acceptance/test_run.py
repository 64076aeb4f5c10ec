"""`make run` starts cleanly, stops cleanly, and leaves nothing behind, however it ends."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.system import ROOT, System, free_ports, state_directory


@pytest.fixture
def system() -> Iterator[System]:
    """A system of this test's own, not started yet."""
    with state_directory() as state:
        system = System(state, ("--cooldown", "1s", "--max-wait", "5s"))
        yield system
        if hasattr(system, "process"):
            system.stop()


def processes_below(state: Path, ports: dict[str, int]) -> list[str]:
    """Returns the command lines of all processes that belong to this run: by its state directory or its ports."""
    marks = [str(state), *(f"{before}{port}" for port in ports.values() for before in ":= ")]
    found = []
    for process in Path("/proc").iterdir():
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            environment = (process / "environ").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if process.name != str(os.getpid()) and any(mark in command or mark in environment for mark in marks):
            found.append(command)
    return found


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return probe.connect_ex(("127.0.0.1", port)) != 0


async def test_ctrl_c_stops_everything_and_the_next_run_has_the_same_data(system: System) -> None:
    system.start()
    first = await system.click("offer=demo&gclid=first")
    assert "clickid" in first.params
    await system.ended(first.click_id)
    assert system.stop() == 0
    assert processes_below(system.state, system.ports) == []
    assert all(is_free(port) for port in system.ports.values())

    system.start()
    again = await system.recorded(first.click_id)
    assert again.location == first.location
    assert (await system.status()).total == 10


async def test_kill_9_leaves_no_process_and_the_next_run_starts(system: System) -> None:
    system.start()
    first = await system.click("offer=demo&gclid=first")
    await system.ended(first.click_id)
    assert processes_below(system.state, system.ports)
    system.stop(number=signal.SIGKILL)
    # The kernel tells the children; they end by themselves.
    async with asyncio.timeout(20):
        while processes_below(system.state, system.ports):
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
