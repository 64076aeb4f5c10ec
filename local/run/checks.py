"""What is looked at before anything is started, so that a failure is one line and not a pile of logs."""

import fcntl
import os
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from libs.common.process import naming
from local.demo.addresses import proxy_address
from local.errors import LocalError
from local.run.options import Options

HOST = "127.0.0.1"


def check_machine() -> None:
    """Raises LocalError on anything but Linux, whose loopback network and parent-death signal the run builds on."""
    if sys.platform != "linux":
        raise LocalError(
            "make run needs Linux (on Windows: WSL): each demo proxy leaves from its own 127.77.0.x address"
        )


def check_names(environment: Mapping[str, str]) -> None:
    """Raises LocalError if a variable is a misspelt setting: the services would stop at it, one after the other."""
    if problems := list(naming.violations(environment)):
        raise LocalError("\n".join(problems), exit_code=2)


def check_ports(options: Options, proxies: int) -> None:
    """Raises LocalError for the first port that something else listens on, or that is asked for twice."""
    wanted: dict[tuple[str, int], tuple[str, str]] = {}
    for host, port, purpose, option in _ports(options, proxies):
        if (host, port) in wanted:
            other, other_option = wanted[host, port]
            raise LocalError(
                f"port {port} is wanted for {other} ({other_option}) and for {purpose} ({option})", exit_code=2
            )
        wanted[host, port] = (purpose, option)
    for (host, port), (purpose, option) in wanted.items():
        if not is_free(host, port):
            raise LocalError(
                f"port {port} on {host} is taken, and needed for {purpose}: stop its user, or choose another ({option})"
            )


def is_free(host: str, port: int) -> bool:
    """Tells whether a server could listen there now. Raises LocalError where this machine has no such address."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except PermissionError:
            raise LocalError(f"port {port} may be used by root only: choose one above 1023") from None
        except OSError as error:
            if error.errno == 99:
                raise LocalError(f"this machine cannot use {host}: its loopback network is not 127.0.0.0/8") from None
            return False
    return True


@contextmanager
def only_run(state: Path) -> Iterator[None]:
    """Makes the state directory and holds it for this run; LocalError if that fails or another run holds it."""
    try:
        state.mkdir(parents=True, exist_ok=True)
        for name in ("credentials", "logs"):
            (state / name).mkdir(mode=0o700, exist_ok=True)
            if not os.access(state / name, os.W_OK | os.X_OK):
                raise PermissionError(13, "Permission denied")
        lock = (state / "lock").open("a+")
    except OSError as error:
        raise LocalError(
            f"cannot write to {state} ({error.strerror}): make it yours, or choose another directory (--state-dir)"
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            raise LocalError(
                f"another run (process {lock.read().strip() or 'unknown'}) uses {state}: stop it, or choose another"
                " directory (--state-dir)"
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


def _ports(options: Options, proxies: int) -> Iterator[tuple[str, int, str, str]]:
    yield HOST, options.http_port, "clicks", "--http-port"
    yield HOST, options.internal_port, "the internal side of the gateway", "--internal-port"
    yield HOST, options.grpc_port, "gRPC of the gateway", "--grpc-port"
    yield HOST, options.pool_port, "gRPC of the pool manager", "--pool-port"
    yield HOST, options.tracer_port, "gRPC of the tracer", "--tracer-port"
    yield HOST, options.pool_metrics_port, "the metrics of the pool manager", "--pool-metrics-port"
    yield HOST, options.tracer_metrics_port, "the metrics of the tracer", "--tracer-metrics-port"
    yield HOST, options.demo_port, "the demo offer network", "--demo-port"
    if options.postgres_port and not options.database_url:
        yield HOST, options.postgres_port, "PostgreSQL", "--postgres-port"
    for index in range(1, proxies + 1):
        yield proxy_address(index), options.proxy_port, "a demo proxy", "--proxy-port"
