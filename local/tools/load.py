"""`python -m local.tools.load`: clicks many times at once on a running gateway, and shows what each click got.

It does what the seed's test-parallel-tracing.sh did: does everybody get an answer, and has each click an IP to itself?
"""

import argparse
import asyncio
import os
import secrets
import statistics
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TextIO

import aiohttp
import grpc
from grpc import aio
from yarl import URL

from clicktrace.gateway.v1 import gateway_pb2, gateway_pb2_grpc
from libs.common.enums import name_of
from libs.common.process import naming
from libs.common.rpc import times, tls
from libs.common.rpc.client import channel

_BAR = 40
_LOG_TIMEOUT = 10.0
_LOG_PAUSE = 0.1
_READS_AT_ONCE = 50


@dataclass(frozen=True, slots=True)
class Shot:
    """One click, from the side of its visitor."""

    number: int
    status: int
    """The status of the answer; 0 if there was none."""
    seconds: float
    location: str = ""
    click_id: str = ""
    error: str = ""
    """Why there was no answer."""

    @property
    def is_answered(self) -> bool:
        """Whether the visitor got on."""
        return self.status in (204, 302)


@dataclass(frozen=True, slots=True)
class Row:
    """A click, and what the log says of it."""

    shot: Shot
    click: gateway_pb2.Click | None
    """None if the log does not know it."""

    def cells(self) -> tuple[str, ...]:
        """Returns what the table says of it."""
        shot, click = self.shot, self.click
        where = shot.location or shot.error or f"HTTP {shot.status}"
        if click is None:
            return str(shot.number), "—", "—", "—", f"{shot.seconds * 1000:.0f} ms", where
        addresses = [attempt.ip_address for attempt in click.attempts]
        answer = name_of(gateway_pb2.Answer.DESCRIPTOR, click.answer) or "—"
        return (
            str(shot.number),
            f"{answer} {click.reason}".strip(),
            ", ".join(addresses) or ("joined" if click.joined_click_id else "—"),
            str(len(click.hops)),
            f"{shot.seconds * 1000:.0f} ms",
            where,
        )


def in_use_twice(rows: Sequence[Row]) -> list[str]:
    """Returns the addresses that two clicks used at the same time; there must be none, ever."""
    uses: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for click in (row.click for row in rows if row.click is not None):
        begin = click.start_time.ToNanoseconds() / 1e9
        for attempt in click.attempts:
            begin += times.to_seconds(attempt.lease_wait)
            # While the trace runs, there is no end.
            end = begin + times.to_seconds(attempt.trace_time) if attempt.HasField("trace_time") else float("inf")
            uses[f"{attempt.ip_address}:{attempt.ip_port}"].append((begin, end))
            begin = end
    return sorted(
        address
        for address, spans in uses.items()
        if any(later[0] < earlier[1] for earlier, later in pairwise(sorted(spans)))
    )


def table(rows: Sequence[Row]) -> Iterator[str]:
    """Yields the lines of the table."""
    lines = [("#", "answer", "exit IP", "hops", "time", "where"), *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]) - 1)]
    for line in lines:
        yield "  ".join([*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), line[-1]])


def summary(rows: Sequence[Row], seconds: float) -> Iterator[str]:
    """Yields what all clicks together say."""
    waits = sorted(row.shot.seconds * 1000 for row in rows)
    answers: Counter[str] = Counter()
    for row in rows:
        answer, reason = (row.click.answer, row.click.reason) if row.click else (0, "")
        http = f"HTTP {row.shot.status}" if row.shot.status else "none"
        named = name_of(gateway_pb2.Answer.DESCRIPTOR, answer) or http
        answers[f"{named} {reason}".strip()] += 1
    addresses = {attempt.ip_address for row in rows if row.click for attempt in row.click.attempts}
    yield f"{len(rows)} clicks in {seconds:.2f} s, through {len(addresses)} IPs"
    for name, count in answers.most_common():
        yield f"{count:>6} × {name}"
    median = statistics.median(waits)
    p95 = statistics.quantiles(waits, n=20, method="inclusive")[-1] if len(waits) > 1 else median
    yield f"visitors waited {median:.0f} ms (median), {p95:.0f} ms (p95), {waits[-1]:.0f} ms (longest)"


class Progress:
    """A bar on a terminal, and nothing elsewhere."""

    def __init__(self, total: int, stream: TextIO) -> None:
        self._total = total
        self._stream = stream
        self._done = 0
        self._shown = stream.isatty()

    def step(self) -> None:
        """Says that one more is done."""
        self._done += 1
        if self._shown:
            filled = _BAR * self._done // self._total
            bar = "█" * filled + "·" * (_BAR - filled)
            end = "\n" if self._done == self._total else ""
            print(f"\r{bar} {self._done}/{self._total}", end=end, file=self._stream, flush=True)


async def shoot(options: argparse.Namespace, progress: Callable[[], None]) -> list[Shot]:
    """Clicks all at once, each as a click of its own, and returns when every one is answered."""
    run = secrets.token_hex(4)
    clock = asyncio.get_running_loop().time
    timeout = aiohttp.ClientTimeout(total=options.timeout)
    # As many connections as clicks, or they would wait for each other here.
    async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0)) as session:

        async def one(number: int) -> Shot:
            query = f"offer={options.offer}&{options.parameter}={run}-{number}"
            began = clock()
            try:
                url = URL(f"{options.url}?{query}", encoded=True)
                async with session.get(url, allow_redirects=False) as response:
                    await response.read()
                    location, click_id = (response.headers.get(name, "") for name in ("Location", "X-Request-Id"))
                    return Shot(number, response.status, clock() - began, location, click_id)
            except TimeoutError:
                return Shot(number, 0, clock() - began, error=f"no answer within {options.timeout:g} s")
            except (aiohttp.ClientError, OSError, ValueError) as error:
                return Shot(number, 0, clock() - began, error=str(error) or type(error).__name__)
            finally:
                progress()

        return list(await asyncio.gather(*(one(number) for number in range(1, options.clicks + 1))))


async def look_up(shots: Sequence[Shot], options: argparse.Namespace) -> list[Row]:
    """Asks the log what became of each click; one whose trace goes on is shown as far as it is."""
    token = os.environ.get("GATEWAY_OPERATOR_TOKEN", "")
    metadata = (("authorization", f"Bearer {token}"),) if token else ()
    files = tls.Files(options.tls_dir) if options.tls_dir else None
    at_once = asyncio.Semaphore(_READS_AT_ONCE)
    async with channel(f"dns:///{options.grpc}", files=files) as opened:
        stub = gateway_pb2_grpc.ClickLogStub(opened)

        async def one(shot: Shot) -> Row:
            until = asyncio.get_running_loop().time() + _LOG_TIMEOUT
            while shot.click_id:
                try:
                    async with at_once:
                        request = gateway_pb2.GetClickRequest(click_id=shot.click_id)
                        return Row(shot, (await stub.GetClick(request, metadata=metadata)).click)
                except aio.AioRpcError as error:
                    # At the deadline a visitor does not wait for the record.
                    if error.code() is not grpc.StatusCode.NOT_FOUND or asyncio.get_running_loop().time() > until:
                        raise
                await asyncio.sleep(_LOG_PAUSE)
            return Row(shot, None)

        return list(await asyncio.gather(*map(one, shots)))


async def load(options: argparse.Namespace) -> int:
    """Clicks, prints, and returns the exit code: 1 when a visitor got no answer or two clicks shared an IP."""
    began = asyncio.get_running_loop().time()
    shots = await shoot(options, Progress(options.clicks, sys.stderr).step)
    seconds = asyncio.get_running_loop().time() - began
    problem = ""
    try:
        rows = await look_up(shots, options)
    except (aio.AioRpcError, tls.TlsError) as error:
        detail = error.details() if isinstance(error, aio.AioRpcError) else str(error)
        problem = f"the click log at {options.grpc} cannot be read, so the IPs are not known: {detail}"
        rows = [Row(shot, None) for shot in shots]
    print(*table(rows), "", *summary(rows, seconds), sep="\n")
    unanswered = sum(not shot.is_answered for shot in shots)
    twice = in_use_twice(rows)
    problems = [
        problem,
        f"{unanswered} of {len(shots)} visitors were not sent on" if unanswered else "",
        f"used by two clicks at the same time: {', '.join(twice)}" if twice else "",
    ]
    for line in filter(None, problems):
        print(f"failed: {line}", file=sys.stderr)
    return 1 if any(problems) else 0


def parser() -> argparse.ArgumentParser:
    """Makes the parser of the command line."""
    made = argparse.ArgumentParser(
        prog="python -m local.tools.load",
        description="Clicks many times at once on a running gateway, as make load CLICKS=10 does, and prints for each"
        " click the exit IP, the time and the answer.",
        epilog="Exit code: 0 if every visitor was sent on, to the landing page or a fallback; 1 if not, if two clicks"
        " used an IP at the same time, or if the log cannot be read; 2 for a wrong option. The gateway traces no more"
        " than GATEWAY_CLIENT_BURST (100) clicks at once of one address; the rest show CLIENT_RATE. The log is read"
        " with the token in GATEWAY_OPERATOR_TOKEN, if there is one.",
    )
    made.add_argument("--clicks", type=_count, default=10, metavar="N", help="how many clicks (default: 10)")
    made.add_argument("--offer", default="demo", help="the offer that is clicked (default: demo)")
    made.add_argument(
        "--parameter", default="gclid", help="the parameter that makes each click one of its own (default: gclid)"
    )
    made.add_argument(
        "--url",
        default="http://127.0.0.1:8080/track-hit",
        help="the click endpoint (default: http://127.0.0.1:8080/track-hit)",
    )
    made.add_argument(
        "--grpc", default="127.0.0.1:50053", metavar="HOST:PORT", help="its gRPC port (default: 127.0.0.1:50053)"
    )
    made.add_argument(
        "--tls-dir",
        type=Path,
        metavar="DIR",
        help="an operator's certificate, where gRPC wants one: .local/tls/operator",
    )
    made.add_argument(
        "--timeout", type=float, default=70.0, metavar="SECONDS", help="how long an answer is waited for (default: 70)"
    )
    return made


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 10_000:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 to 10000")
    return int(text)


def main(arguments: Sequence[str]) -> int:
    """Reads the command line and runs; returns the exit code. A misspelt variable is a problem, as at the services."""
    made = parser()
    options = made.parse_args(arguments)
    if problems := list(naming.violations(os.environ)):
        made.error("\n".join(problems))
    return asyncio.run(load(options))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
