"""One run from the first check to the last process: starts what can start, in parallel, and ends it in order."""

import asyncio
import importlib
import os
import signal
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from local.demo import credentials
from local.errors import LocalError
from local.postgres.server import EmbeddedPostgres
from local.run import checks, plan
from local.run.console import Console
from local.run.logview import render
from local.run.options import ROOT, Options
from local.run.plan import HOST, Places
from local.run.supervisor import Process, Supervisor
from local.run.table import addresses

if TYPE_CHECKING:
    from libs.common.rpc import tls

_START_TIMEOUT = 40.0
_MIGRATION_TIMEOUT = 120.0
_STOP_TIMEOUT = 6.0
_DATABASE = "clicktrace"
_DATABASE_LOOK = 0.5

T = TypeVar("T")


async def run(options: Options, console: Console) -> None:
    """Runs everything until a signal comes; raises LocalError when something cannot start, or dies.

    The first SIGINT, SIGTERM or SIGHUP ends the run in order; the second ends it at once, and the kernel ends the
    processes with it.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        if stop.is_set():
            os._exit(130)
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, on_signal)
    checks.check_machine()
    with checks.only_run(options.state_dir):
        await _Run(options, console).until(stop)


class _Run:
    def __init__(self, options: Options, console: Console) -> None:
        self._options = options
        self._console = console
        self._places = Places(options.state_dir)
        self._supervisor = Supervisor(ROOT, self._places.logs, self._show)
        self._postgres: EmbeddedPostgres | None = None
        self._postgres_start: asyncio.Future[None] | None = None
        self._began = time.monotonic()
        self._proxies_before = _read_count(self._places)

    async def until(self, stop: asyncio.Event) -> None:
        stopped: asyncio.Task[Any] = asyncio.create_task(stop.wait(), name="stop")
        life: asyncio.Task[Any] = asyncio.create_task(self._live(), name="run")
        waited: set[asyncio.Future[Any]] = {stopped, life, self._supervisor.died}
        try:
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if stop.is_set():
                self._console.note("stopping …")
            if life.done():
                life.result()  # it ends only by failing
            if self._supervisor.died.done() and not stop.is_set():
                child = self._supervisor.died.result()
                await asyncio.wait({child.watch})
                raise self._supervisor.obituary(child)
        finally:
            await _cancel(life, stopped)
            await self._stop()
        self._console.note("stopped")

    async def _live(self) -> None:
        try:
            await self._start()
        except BaseExceptionGroup as group:
            raise _first(group) from None
        self._console.title(f"Ready in {time.monotonic() - self._began:.1f} s.")
        self._console.table(addresses(self._options, self._places, embedded=self._postgres is not None))
        self._console.line()
        while True:
            await asyncio.sleep(_DATABASE_LOOK)
            if self._postgres and self._postgres.poll() is not None:
                raise LocalError(f"PostgreSQL ended by itself; its log is {self._postgres.log}")

    async def _start(self) -> None:
        options = self._options
        proxies = max(options.proxies, self._proxies_before)
        checks.check_names(options.environment)
        checks.check_ports(options, proxies)
        secret = credentials.ensure(self._places.credentials)
        if options.tls:
            await self._step("certificates", self._certify)
        await self._supervisor.load(plan.MODULES, options.environment)
        async with asyncio.TaskGroup() as group:
            # What needs no database loads while the database starts. The gateway is last: who gets an answer from it
            # finds the others there.
            tracer = group.create_task(self._launch("tracer", plan.tracer(options, self._places)))
            demo = group.create_task(self._launch("demo world", plan.demo(options, secret, proxies)))
            database_url = await self._step("postgres", self._database)
            # Loaded while the fork server loads: the first start of PostgreSQL needs the other core for itself.
            clients = group.create_task(asyncio.to_thread(importlib.import_module, "local.demo.provision"))
            pool_schema = group.create_task(self._migrate("pool_manager", database_url))
            click_schema = group.create_task(self._migrate("gateway", database_url))
            await pool_schema
            await self._launch("pool_manager", plan.pool_manager(options, self._places, database_url))
            await clients
            provisioning = group.create_task(self._provision())
            await asyncio.gather(click_schema, tracer, demo)
            await self._launch("gateway", plan.gateway(options, self._places, database_url))
            await provisioning
            await self._step("demo offers", self._create_offers, remark=str)

    async def _certify(self) -> None:
        # Late: who runs without TLS need not wait for this to load.
        from local.tools import authority

        authority.issue_all(self._places.certificates, plan.IDENTITIES)

    def _files(self) -> "tls.Files | None":
        """Returns what an operator shows, where the services want to see something."""
        from libs.common.rpc import tls

        directory = plan.operator_certificate(self._options, self._places)
        return tls.Files(directory) if directory else None

    async def _launch(self, name: str, process: Process) -> None:
        await self._step(name, lambda: self._supervisor.start(process, timeout=_START_TIMEOUT))

    async def _migrate(self, service: str, database_url: str) -> None:
        process = plan.migration(self._options, service, database_url)
        await self._step(f"migrate {service}", lambda: self._supervisor.run(process, timeout=_MIGRATION_TIMEOUT))

    async def _database(self) -> str:
        if self._options.database_url:
            await _connect(self._options.database_url)
            return self._options.database_url
        self._postgres = EmbeddedPostgres(self._places.postgres, self._options.postgres_port)
        # In a thread, because it may have to wait for an earlier server; the threads of the loop live as long as we do.
        self._postgres_start = asyncio.ensure_future(asyncio.to_thread(self._postgres.start))
        await asyncio.shield(self._postgres_start)
        connection = await _connect(self._postgres.url(), keep=True)
        try:
            if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", _DATABASE):
                await connection.execute(f"CREATE DATABASE {_DATABASE}")
        finally:
            await connection.close()
        url = self._postgres.url(_DATABASE)
        self._places.database_url.touch(mode=0o600)
        self._places.database_url.write_text(f"{url}\n")
        return url

    async def _provision(self) -> None:
        from local.demo import provision

        options, pool = self._options, f"{HOST}:{self._options.pool_port}"
        token = options.environment.get("POOL_OPERATOR_TOKEN", "")
        files = self._files()
        await self._step(
            "demo proxies",
            lambda: provision.provision_proxies(
                pool, count=options.proxies, port=options.proxy_port, token=token, files=files
            ),
            remark=str,
        )
        known = self._proxies_before
        if known > options.proxies:
            if await provision.retire_proxies(pool, first=options.proxies + 1, last=known, token=token, files=files):
                known = options.proxies
            else:
                self._console.note(f"the pool keeps all {known} demo proxies of an earlier run, and all of them listen")
        self._places.proxy_count.write_text(f"{max(known, options.proxies)}\n")

    async def _create_offers(self) -> str:
        from local.demo import provision

        token = self._options.environment.get("GATEWAY_OPERATOR_TOKEN", "")
        return await provision.create_offers(
            f"{HOST}:{self._options.grpc_port}", demo_port=self._options.demo_port, token=token, files=self._files()
        )

    async def _step(
        self, name: str, work: Callable[[], Awaitable[T]], *, remark: Callable[[T], str] | None = None
    ) -> T:
        began = time.monotonic()
        result = await work()
        self._console.step(name, time.monotonic() - began, remark(result) if remark else "")
        return result

    async def _stop(self) -> None:
        supervisor = self._supervisor
        await supervisor.stop("gateway", timeout=_STOP_TIMEOUT)
        await supervisor.stop("tracer", "pool_manager", timeout=_STOP_TIMEOUT)
        await supervisor.stop("demo", timeout=_STOP_TIMEOUT)
        await supervisor.stop_all(timeout=_STOP_TIMEOUT)
        if self._postgres and self._postgres_start:
            await asyncio.wait({self._postgres_start})
            await asyncio.to_thread(self._postgres.stop)

    def _show(self, name: str, line: str) -> None:
        shown = render(name, line, self._options.detail, colour=self._console.colour)
        if shown is not None:
            self._console.line(shown)


async def _connect(url: str, *, keep: bool = False) -> Any:
    import asyncpg

    try:
        connection = await asyncpg.connect(url, timeout=10)
    except (OSError, asyncpg.PostgresError, ValueError) as error:
        # Not the text of the error: it may quote the URL with the password.
        raise LocalError(f"cannot connect to the database ({type(error).__name__}): check DATABASE_URL") from None
    if not keep:
        await connection.close()
    return connection


def _read_count(places: Places) -> int:
    try:
        return int(places.proxy_count.read_text())
    except (OSError, ValueError):
        return 0


def _first(error: BaseException) -> BaseException:
    """Returns what went wrong first: the others only ended because of it."""
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


async def _cancel(*tasks: asyncio.Task[Any]) -> None:
    """Cancels tasks and waits for their end; what they raise now is a consequence of the stop."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
