"""Connections to PostgreSQL, and one span for each statement."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias

import asyncpg
from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from libs.common.errors import database_unavailable

# Quoted, because these are generic in the stubs only.
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
LentConnection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
"""A connection that returns to its pool."""

_tracer = trace.get_tracer(__name__)

_STANDBY = (
    "this PostgreSQL takes no writes (a standby, or read-only by its settings): DATABASE_URL must lead to the primary;"
    " name all hosts (host1,host2) to follow it through a failover"
)
# Raises P0001 where another process answers than the one that was connected to, 25006 where nothing can be written.
_LOOK = """DO $$ BEGIN
    IF current_setting('transaction_read_only')::boolean THEN RAISE SQLSTATE '25006'; END IF;
    IF pg_backend_pid() <> {pid} THEN RAISE EXCEPTION 'a pooler stands between'; END IF;
END $$"""


@contextmanager
def translating_start() -> Iterator[None]:
    """Turns what the driver says of a database that cannot be used at the start into UNAVAILABLE/DATABASE_UNAVAILABLE.

    The message is the server's own: it names a host or a user, never a password.
    """
    try:
        yield
    except asyncpg.PostgresError as error:
        raise database_unavailable(f"{type(error).__name__}: {error}") from error


class PoolerBetweenError(Exception):
    """A connection pooler such as PgBouncer stands between us and PostgreSQL, where a direct connection is needed."""


async def connect(
    url: str,
    *,
    application_name: str,
    timeout: float = 5.0,
    command_timeout: float | None = None,
    direct: bool = False,
) -> Connection:
    """Opens a connection to the server of `url` that takes writes; times are in seconds.

    Of several hosts the one is taken that is the primary now. A pooler between us and the server is found out, and
    statements are then prepared anew at each use, so that it may give each transaction another server connection.

    Raises what asyncpg raises when there is no such server (asyncpg.ReadOnlySQLTransactionError for a standby), and
    PoolerBetweenError with `direct` if a pooler answers.
    """
    options: dict[str, Any] = {
        "timeout": timeout,
        "command_timeout": command_timeout,
        "server_settings": {"application_name": application_name, "timezone": "UTC"},
        # With one host the answer would only be less clear.
        "target_session_attrs": "read-write" if _has_hosts(url) else None,
    }
    connection = await _connected(url, options)
    if await _is_direct(connection, timeout):
        return connection
    connection.terminate()
    if direct:
        raise PoolerBetweenError
    return await _connected(url, {**options, "statement_cache_size": 0})


async def connect_pool(
    url: str,
    *,
    application_name: str,
    min_size: int = 1,
    max_size: int = 4,
    connect_timeout: float = 5.0,
    command_timeout: float = 10.0,
) -> Pool:
    """Opens a pool of connections as `connect` makes them; times are in seconds."""

    async def connected(*_args: Any, **_options: Any) -> Connection:
        return await connect(
            url, application_name=application_name, timeout=connect_timeout, command_timeout=command_timeout
        )

    pool = await asyncpg.create_pool(url, min_size=min_size, max_size=max_size, connect=connected, reset=_keep)
    if pool is None:
        raise RuntimeError("asyncpg gave no pool")
    return pool


async def _connected(url: str, options: Mapping[str, Any]) -> Connection:
    try:
        return await asyncpg.connect(url, **options)
    except asyncpg.TargetServerAttributeNotMatched:
        raise asyncpg.ReadOnlySQLTransactionError(_STANDBY) from None


async def _is_direct(connection: Connection, timeout: float) -> bool:
    """Tells whether the process that answers is the one that was connected to; a standby is refused.

    In one statement that takes no parameters, because those would have to be prepared.
    """
    try:
        await connection.execute(_LOOK.format(pid=connection.get_server_pid()), timeout=timeout)
    except asyncpg.RaiseError:
        return False
    except asyncpg.ReadOnlySQLTransactionError:
        connection.terminate()
        raise asyncpg.ReadOnlySQLTransactionError(_STANDBY) from None
    except BaseException:
        connection.terminate()
        raise
    return True


def _has_hosts(url: str) -> bool:
    return "," in url.rpartition("@")[2].partition("/")[0] and "target_session_attrs" not in url


async def _keep(_connection: object) -> None:
    """Leaves a connection that comes back as it is: our statements change nothing in a session that outlives them.

    The driver would clean it up with a statement of its own, one more round trip for each of ours.
    """


@contextmanager
def span(statement: str, *, table: str = "") -> Iterator[Span]:
    """Records one named statement as a client span by the stable database conventions of OpenTelemetry.

    An exception that leaves the block marks the span as failed with its type (the SQLSTATE where there is one). What a
    service does by itself every second belongs to no trace, and is not to fill the collector with traces of its own.
    """
    if not trace.get_current_span().get_span_context().is_valid:
        yield trace.INVALID_SPAN
        return
    attributes = {"db.system.name": "postgresql", "db.operation.name": statement}
    if table:
        attributes["db.collection.name"] = table
    with _tracer.start_as_current_span(
        statement, kind=SpanKind.CLIENT, attributes=attributes, record_exception=False, set_status_on_exception=False
    ) as current:
        try:
            yield current
        except BaseException as error:
            sqlstate = getattr(error, "sqlstate", None)
            if sqlstate:
                current.set_attribute("db.response.status_code", sqlstate)
            current.set_attribute("error.type", sqlstate or type(error).__qualname__)
            current.set_status(Status(StatusCode.ERROR))
            raise
