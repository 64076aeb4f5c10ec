"""What can be chosen on the command line of `make run`, and in its environment."""

import argparse
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).parents[2]
MOST_PROXIES = 250
Detail = Literal["quiet", "normal", "verbose"]


@dataclass(frozen=True)
class Options:
    """Everything that a run depends on; times are in seconds."""

    proxies: int
    cooldown: float
    max_wait: float
    slow_hop: float
    http_port: int
    internal_port: int
    grpc_port: int
    pool_port: int
    tracer_port: int
    pool_metrics_port: int
    tracer_metrics_port: int
    demo_port: int
    proxy_port: int
    postgres_port: int
    state_dir: Path
    detail: Detail
    stop_with_parent: bool
    tls: bool
    """Whether the services speak mutual TLS."""
    database_url: str
    """A database to use instead of the embedded PostgreSQL; empty for none."""
    environment: Mapping[str, str]
    """What the processes inherit."""


def parse(arguments: Sequence[str], environment: Mapping[str, str] = os.environ) -> Options:
    """Reads the command line; for wrong options, or for --help, prints what is right and exits."""
    given = vars(_parser().parse_args(arguments))
    given["state_dir"] = given["state_dir"].absolute()
    inherited = {
        name: value
        for name, value in environment.items()
        # Compiled modules make every start after the first a good deal faster.
        if name not in {"DATABASE_URL", "PYTHONDONTWRITEBYTECODE"}
    }
    return Options(database_url=environment.get("DATABASE_URL", ""), environment=inherited, **given)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m local",
        description="Starts PostgreSQL, the three services and a demo world of proxies and redirect chains, as make run"
        " does: make run PROXIES=20 COOLDOWN=5s MAX_WAIT=3s TLS=1, or make run ARGS='--http-port 9080'.",
        epilog="Times may carry a unit: 250ms, 5s, 1m. DATABASE_URL in the environment takes the place of the embedded"
        " PostgreSQL. Other settings of the services are taken from the environment as they are.",
    )
    demo = parser.add_argument_group("the demo world")
    demo.add_argument(
        "--proxies", type=_number(1, MOST_PROXIES), default=10, metavar="N", help="how many demo proxies (default: 10)"
    )
    demo.add_argument(
        "--cooldown",
        type=_span(0, 86_400),
        default=60.0,
        metavar="TIME",
        help="cooldown of an IP after use (default: 60s)",
    )
    demo.add_argument(
        "--max-wait", type=_span(0.1, 60), default=10.0, metavar="TIME", help="how long visitors wait (default: 10s)"
    )
    demo.add_argument(
        "--slow-hop",
        type=_span(0, 60),
        default=4.5,
        metavar="TIME",
        help="what each of the three slow hops of demo-slow takes (default: 4.5s)",
    )
    ports = parser.add_argument_group("ports on 127.0.0.1")
    for name, default, purpose in (
        ("http", 8080, "clicks"),
        ("internal", 8081, "health, readiness and metrics of the gateway"),
        ("grpc", 50053, "gRPC of the gateway"),
        ("pool", 50051, "gRPC of the pool manager"),
        ("tracer", 50052, "gRPC of the tracer"),
        ("pool-metrics", 9101, "metrics of the pool manager"),
        ("tracer-metrics", 9102, "metrics of the tracer"),
        ("demo", 8090, "the demo offer network"),
        ("proxy", 8899, "the demo proxies, on 127.77.0.1, 127.77.0.2, …"),
    ):
        port = _number(1, 65_535)
        parser_help = f"{purpose} (default: {default})"
        ports.add_argument(f"--{name}-port", type=port, default=default, metavar="PORT", help=parser_help)
    ports.add_argument(
        "--postgres-port",
        type=_number(0, 65_535),
        default=0,
        metavar="PORT",
        help="the embedded PostgreSQL (default: any that is free)",
    )
    run = parser.add_argument_group("the run")
    run.add_argument(
        "--state-dir",
        type=Path,
        default=ROOT / ".local",
        metavar="DIR",
        help="where data, secrets and logs are kept (default: .local)",
    )
    run.add_argument(
        "--stop-with-parent",
        action="store_true",
        help="end when the process that started this one ends, even by kill -9",
    )
    run.add_argument(
        "--tls", action="store_true", help="let the services speak mutual TLS, with certificates made for this run"
    )
    detail = run.add_mutually_exclusive_group()
    detail.add_argument(
        "--quiet",
        dest="detail",
        action="store_const",
        const="quiet",
        default="normal",
        help="show warnings and errors only",
    )
    detail.add_argument(
        "--verbose", dest="detail", action="store_const", const="verbose", help="show everything that is logged"
    )
    return parser


def _number(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number from {least} to {most}")
        return int(text)

    return read


def _span(least: float, most: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        # Late, because the settings of services bring a good deal along that the start need not wait for.
        from libs.common.process.values import parse_seconds

        try:
            seconds = parse_seconds(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None
        if not least <= seconds <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not from {least:g} to {most:g} seconds")
        return seconds

    return read
