"""`python -m services.pool_manager provision FILE`: fills a running pool from a file, with a plan first."""

import asyncio
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from grpc import aio

from clicktrace.common.v1 import common_pb2
from clicktrace.pool.v1 import pool_pb2, pool_pb2_grpc
from libs.common.enums import number_of
from libs.common.errors import ClicktraceError
from libs.common.process import settings
from libs.common.rpc import tls
from libs.common.rpc.client import channel
from libs.common.rpc.status import from_rpc_error
from libs.common.rpc.times import to_duration
from services.pool_manager.inventory.file import Row, read_rows
from services.pool_manager.inventory.provisioning import MAX_ROWS, check_specs
from services.pool_manager.model.proxies import Provisioned, ProxySpec
from services.pool_manager.settings import ProvisionSettings

_CALL_SECONDS = 60.0
# Planning is done in bites, so that progress shows; adding in calls as large as can be, for each is all or nothing.
_ROWS_PER_PLAN = min(MAX_ROWS, 2000)

_ROW = re.compile(r"proxies\[(\d+)\](?:\.(\w+))?")


def main(arguments: Sequence[str]) -> int:
    """Runs `provision FILE [--dry-run]` and returns the exit code."""
    match list(arguments):
        case [file, *options] if options in ([], ["--dry-run"]):
            client = settings.load(ProvisionSettings)
            for variable, replacement in settings.retired(ProvisionSettings):
                print(f"{variable} is retired and ignored: {replacement}", file=sys.stderr)
            return asyncio.run(provision(Path(file), client, dry_run=bool(options)))
    print("usage: python -m services.pool_manager provision FILE [--dry-run]", file=sys.stderr)
    return 2


async def provision(path: Path, config: ProvisionSettings, *, dry_run: bool) -> int:
    """Adds the proxies of a file to the pool, and returns the exit code.

    First every row is checked and the whole is tried out; so a file with a violation changes nothing.
    """
    harm = "nothing was changed"
    rows: Sequence[Row] = ()
    try:
        rows = read_rows(path)
        check_specs([row.spec for row in rows], None)
        files = tls.Files(config.tls_dir) if config.tls_dir else None
        async with channel(
            config.target, default_timeout=_CALL_SECONDS, files=files, identity=config.identity
        ) as opened:
            stub = pool_pb2_grpc.PoolAdminStub(opened)
            token = config.operator_token.get_secret_value()
            plan = await _send(stub, rows, token, dry_run=True)
            print(f"plan: {plan.created} to add, {plan.updated} to change, {plan.unchanged} as they are")
            if not dry_run and (plan.created or plan.updated):
                if len(rows) > MAX_ROWS:
                    harm = "some rows may be in the pool; the same command adds the others"
                done = await _send(stub, rows, token, dry_run=False)
                print(f"done: {done.created} added, {done.updated} changed, {done.unchanged} as they were")
    except tls.TlsError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{path}: {error.strerror or error}", file=sys.stderr)
        return 1
    except ClicktraceError as error:
        print(f"{harm}: {error.reason}", file=sys.stderr)
        for violation in error.violations:
            print(f"  {_place(rows, violation.field)}: {violation.description}", file=sys.stderr)
        if not error.violations:
            print(f"  {error.message}", file=sys.stderr)
        return 1
    return 0


def _place(rows: Sequence[Row], field: str) -> str:
    """Returns where a field stands in the file; the checks know the number of its row alone."""
    match = _ROW.fullmatch(field)
    if match is None:
        return field
    return f"{rows[int(match[1])].place}{f', {match[2]}' if match[2] else ''}"


async def _send(
    stub: "pool_pb2_grpc.PoolAdminAsyncStub", rows: Sequence[Row], token: str, *, dry_run: bool
) -> Provisioned:
    metadata = (("authorization", f"Bearer {token}"),) if token else ()
    created = updated = unchanged = 0
    size = _ROWS_PER_PLAN if dry_run else MAX_ROWS
    for start in range(0, len(rows), size):
        bite = rows[start : start + size]
        request = pool_pb2.ProvisionProxiesRequest(proxies=[_message(row.spec) for row in bite], dry_run=dry_run)
        try:
            done = await stub.ProvisionProxies(request, metadata=metadata)
        except aio.AioRpcError as error:
            raise _renumbered(from_rpc_error(error), start) from error
        created += done.created
        updated += done.updated
        unchanged += done.unchanged
        if sys.stderr.isatty():
            print(f"\r{'trying' if dry_run else 'adding'} {start + len(bite)} of {len(rows)}", end="", file=sys.stderr)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    return Provisioned(created, updated, unchanged)


def _renumbered(error: ClicktraceError, start: int) -> ClicktraceError:
    """Returns the error with rows numbered as in the file, of which the server saw a part."""
    error.violations = tuple(
        replace(
            violation,
            field=_ROW.sub(lambda match: match[0].replace(match[1], str(int(match[1]) + start), 1), violation.field),
        )
        for violation in error.violations
    )
    return error


def _message(row: ProxySpec) -> pool_pb2.ProxySpec:
    return pool_pb2.ProxySpec(
        ip_address=row.ip_address,
        ip_port=row.ip_port,
        country=row.country,
        provider=row.provider,
        protocol=number_of(common_pb2.Protocol.DESCRIPTOR, row.protocol),
        cooldown=None if row.cooldown is None else to_duration(row.cooldown),
    )
