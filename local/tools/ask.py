"""What operators ask most, from a shell: `make status` counts the pool, `make click` clicks once and explains it.

Both are what `grpcurl` shows too (docs/operations.md), laid out for reading. The addresses are those of `make run`;
POOL, GATEWAY and HTTP name others, OPERATOR_TOKEN is shown where reading needs it, and TLS_DIR names the certificate to
show where the services want one (`.local/tls/operator` of `make run TLS=1`).
"""

import argparse
import asyncio
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from google.protobuf.duration_pb2 import Duration
from grpc import aio

from clicktrace.common.v1 import common_pb2
from clicktrace.gateway.v1 import gateway_pb2, gateway_pb2_grpc
from clicktrace.pool.v1 import pool_pb2, pool_pb2_grpc
from libs.common.enums import name_of
from libs.common.rpc import tls
from libs.common.rpc.client import channel
from libs.common.rpc.status import from_rpc_error

_POOL = os.environ.get("POOL") or "127.0.0.1:50051"
_GATEWAY = os.environ.get("GATEWAY") or "127.0.0.1:50053"
_HTTP = os.environ.get("HTTP") or "127.0.0.1:8080"
_TIMEOUT = 60.0
_COLUMNS = ("total", "available", "in use", "cooldown", "unhealthy", "drained", "busy", "next free")


def main(arguments: Sequence[str]) -> int:
    """Answers a question, and returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m local.tools.ask", description=__doc__)
    questions = parser.add_subparsers(dest="question", required=True)
    questions.add_parser("status", help="counts the pool")
    click = questions.add_parser("click", help="clicks once, and explains what became of it")
    click.add_argument("--offer", default="demo")
    click.add_argument("--query", default=f"gclid=shell-{time.time_ns():x}", help="the parameters of the click")
    asked = parser.parse_args(arguments)
    try:
        if asked.question == "status":
            asyncio.run(_status())
        else:
            asyncio.run(_click(f"offer={asked.offer}&{asked.query}"))
    except aio.AioRpcError as error:
        print(f"{from_rpc_error(error).reason}: {from_rpc_error(error).message}", file=sys.stderr)
        return 1
    except tls.TlsError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{_HTTP} does not answer ({error}); is make run running?", file=sys.stderr)
        return 1
    return 0


def _operator() -> tuple[tuple[str, str], ...]:
    token = os.environ.get("OPERATOR_TOKEN", "")
    return (("authorization", f"Bearer {token}"),) if token else ()


def _opened(target: str) -> aio.Channel:
    directory = os.environ.get("TLS_DIR")
    return channel(target, files=tls.Files(Path(directory)) if directory else None)


async def _status() -> None:
    async with _opened(_POOL) as opened:
        stub = pool_pb2_grpc.PoolAdminStub(opened)
        status = await stub.GetPoolStatus(pool_pb2.GetPoolStatusRequest(), metadata=_operator())
    now = status.db_time.ToNanoseconds()
    _print_table([("", *_COLUMNS), *(_row(count, now) for count in (*status.countries, status.total))])


def _row(count: pool_pb2.PoolStatus, now: int) -> Sequence[str]:
    counts = (count.total, count.available, count.in_use, count.cooldown, count.unhealthy, count.drained)
    left = max(0.0, (count.next_available_time.ToNanoseconds() - now) / 1e9)
    free = "now" if count.available else f"in {left:.1f} s" if count.HasField("next_available_time") else "never"
    return (count.country or "all", *map(str, counts), f"{count.utilization:.0%}", free)


def _print_table(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *others in rows:
        cells = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))]
        print("  ".join(cells).rstrip())


class _Unfollowed(urllib.request.HTTPRedirectHandler):
    """Leaves redirects to the reader."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Follows nothing."""


async def _click(query: str) -> None:
    request = urllib.request.Request(f"http://{_HTTP}/track-hit?{query}")
    began = time.monotonic()
    answer = await asyncio.to_thread(_get, request)
    print(f"{answer.code} after {time.monotonic() - began:.2f} s → {answer.headers.get('Location', '(nowhere)')}\n")
    click_id = answer.headers.get("X-Request-Id")
    if click_id:
        for line in _explained(await _ended(click_id)):
            print(line)


def _get(request: urllib.request.Request) -> Any:
    try:
        return urllib.request.build_opener(_Unfollowed, urllib.request.ProxyHandler({})).open(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as answer:
        # That is what a redirect that is not followed looks like.
        return answer


async def _ended(click_id: str) -> gateway_pb2.Click:
    """Returns a click once its trace is over."""
    async with _opened(_GATEWAY) as opened, asyncio.timeout(_TIMEOUT):
        stub = gateway_pb2_grpc.ClickLogStub(opened)
        wanted = gateway_pb2.GetClickRequest(click_id=click_id)
        while True:
            click = (await stub.GetClick(wanted, metadata=_operator())).click
            if click.HasField("end_time"):
                return click
            await asyncio.sleep(0.2)


def _explained(click: gateway_pb2.Click) -> Iterator[str]:
    answer = name_of(gateway_pb2.Answer.DESCRIPTOR, click.answer) or "none"
    status = name_of(gateway_pb2.ClickStatus.DESCRIPTOR, click.status)
    yield f"click     {click.click_id}"
    yield f"answer    {answer}{f' ({click.reason})' if click.reason else ''}; the trace: {status}"
    if click.joined_click_id:
        yield f"joined    {click.joined_click_id}"
    for attempt in click.attempts:
        use = f"{attempt.outcome} {attempt.failure_reason}".rstrip()
        waited, used = _milliseconds(attempt.lease_wait), _milliseconds(attempt.trace_time)
        yield f"IP        {attempt.ip_address} ({attempt.country}), waited {waited} for, used {used}: {use}"
    for hop in click.hops:
        led = hop.error or name_of(common_pb2.Hop.Kind.DESCRIPTOR, hop.kind).lower().replace("_", " ")
        url = hop.url.partition("?")[0]
        yield f"hop {hop.index:<6}{hop.status or '-':<5}{_milliseconds(hop.timing.total):>10}  {url}  {led}".rstrip()
    for param in click.params:
        origin = name_of(gateway_pb2.ParameterSource.Origin.DESCRIPTOR, param.origin)
        yield f"parameter {param.name} = {param.value}  {origin}{f': {param.rule}' if param.rule else ''}"
    if click.otel_trace_id:
        yield f"trace     {click.otel_trace_id}"


def _milliseconds(span: Duration) -> str:
    return f"{span.ToMicroseconds() / 1000:.1f} ms"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
