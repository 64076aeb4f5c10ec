"""Proves that what stops a run is found before anything is started, and is said in one line."""

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from local.errors import LocalError
from local.run import checks, options
from local.run.options import Options

NAMES = ("http", "internal", "grpc", "pool", "tracer", "demo", "proxy")
ROOT = Path(__file__).parents[4]


@pytest.fixture
def chosen(tmp_path: Path) -> Options:
    """Options with ports that are free."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in NAMES]
        ports = [server.getsockname()[1] for server in sockets]
    arguments = [part for name, port in zip(NAMES, ports, strict=True) for part in (f"--{name}-port", str(port))]
    return options.parse(["--state-dir", str(tmp_path / "state"), *arguments], {})


def port_of(chosen: Options, name: str) -> int:
    port: int = getattr(chosen, f"{name}_port")
    return port


def test_a_misspelt_setting_ends_the_run_before_anything_is_started(tmp_path: Path) -> None:
    state = tmp_path / "state"
    done = subprocess.run(
        [sys.executable, "-m", "local", "--state-dir", str(state)],
        cwd=ROOT, env={"PATH": os.environ["PATH"], "GATEWAY_MAX_WIAT": "5s", "POOL_PORT": "tcp://10.0.0.1:1"},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2
    assert "GATEWAY_MAX_WIAT: there is no such setting; the nearest is GATEWAY_MAX_WAIT" in done.stdout + done.stderr
    assert "POOL_PORT" not in done.stdout + done.stderr
    assert not (state / "postgres").exists()


def test_free_ports_pass(chosen: Options) -> None:
    checks.check_ports(chosen, 10)


@pytest.mark.parametrize("name", NAMES)
def test_a_taken_port_is_named_with_its_option(chosen: Options, name: str) -> None:
    host = "127.77.0.3" if name == "proxy" else "127.0.0.1"
    port = port_of(chosen, name)
    with (
        socket.create_server((host, port)),
        pytest.raises(LocalError, match=rf"port {port} on {host} is taken.*--{name}-port") as fault,
    ):
        checks.check_ports(chosen, 10)
    assert "\n" not in str(fault.value)


def test_a_proxy_that_is_not_asked_for_may_be_taken(chosen: Options) -> None:
    with socket.create_server(("127.77.0.11", chosen.proxy_port)):
        checks.check_ports(chosen, 10)


def test_a_port_for_two_purposes_is_a_usage_fault(chosen: Options) -> None:
    twice = options.parse(["--http-port", str(chosen.pool_port), "--pool-port", str(chosen.pool_port)], {})
    with pytest.raises(LocalError, match=r"--http-port.*--pool-port") as fault:
        checks.check_ports(twice, 10)
    assert fault.value.exit_code == 2


def test_a_second_run_in_the_same_place_is_told_who_is_there(tmp_path: Path) -> None:
    with checks.only_run(tmp_path / "state"):
        with pytest.raises(LocalError, match=rf"process {os.getpid()}"), checks.only_run(tmp_path / "state"):
            pass
        with checks.only_run(tmp_path / "other"):
            pass
    with checks.only_run(tmp_path / "state"):
        pass


def test_a_place_that_cannot_be_written_is_named() -> None:
    with (
        pytest.raises(LocalError, match=r"cannot write to /proc/nowhere.*--state-dir"),
        checks.only_run(Path("/proc/nowhere")),
    ):
        pass


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(("--state-dir", "/proc/nowhere"), 1), (("--proxies", "0"), 2), (("--http-port", "8081"), 2)],
)
def test_the_command_ends_with_one_line_and_a_code(arguments: Sequence[str], code: int, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "local", "--state-dir", str(tmp_path / "state"), *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
    )
    said = (done.stdout + done.stderr).strip().splitlines()
    assert done.returncode == code
    assert not [line for line in said if "Traceback" in line or "Warning" in line]
    assert arguments[0] in said[-1]
