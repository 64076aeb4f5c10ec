"""What the fork server says to the one at the other end of its socket."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[4]


@pytest.fixture
def server() -> Iterator[tuple[socket.socket, subprocess.Popen[bytes]]]:
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    here.settimeout(20)
    command = (sys.executable, "-m", "local.run.forkserver", str(there.fileno()), "json")
    with here, subprocess.Popen(command, cwd=ROOT, pass_fds=(there.fileno(),)) as process:
        there.close()
        yield here, process
        process.kill()


def ask(here: socket.socket, message: dict[str, Any], *descriptors: int) -> None:
    socket.send_fds(here, [json.dumps(message).encode()], descriptors)


def usage(number: int, directory: Path) -> dict[str, Any]:
    """Asks for a program that says how it is used, and ends."""
    return {
        "id": number,
        "title": "a program",
        "module": "json.tool",
        "arguments": ["--help"],
        "environment": dict(os.environ),
        "directory": str(directory),
    }


def test_one_is_forked_and_its_end_is_told(
    server: tuple[socket.socket, subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    here, process = server
    reading, writing = os.pipe()
    ask(here, usage(5, tmp_path), writing)
    os.close(writing)
    begun = json.loads(here.recv(4096))
    assert begun == {"id": 5, "pid": begun["pid"]}
    with os.fdopen(reading) as said:
        assert said.read().startswith("usage: ")
    assert json.loads(here.recv(4096)) == {"pid": begun["pid"], "code": 0}
    assert process.poll() is None


def test_a_signal_goes_to_nobody_but_its_children(
    server: tuple[socket.socket, subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    here, _ = server
    with subprocess.Popen(["sleep", "600"]) as stranger:
        ask(here, {"pid": stranger.pid, "signal": signal.SIGKILL})
        reading, writing = os.pipe()
        ask(here, usage(1, tmp_path), writing)
        os.close(writing)
        os.close(reading)
        assert json.loads(here.recv(4096))["id"] == 1  # so the signal before it has been read
        assert stranger.poll() is None
        stranger.kill()


def test_it_ends_when_the_other_end_is_closed(server: tuple[socket.socket, subprocess.Popen[bytes]]) -> None:
    here, process = server
    here.close()
    assert process.wait(20) == 0
