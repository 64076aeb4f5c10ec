"""Connections to PostgreSQL, and one span for each statement."""

from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg
from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

_tracer = trace.get_tracer(__name__)


async def connect_pool(
    url: str,
    *,
    application_name: str,
    min_size: int = 1,
    max_size: int = 4,
    connect_timeout: float = 5.0,
    command_timeout: float = 10.0,
) -> "asyncpg.Pool[asyncpg.Record]":
    """Opens a pool of connections; times are in seconds.

    Raises what asyncpg raises (OSError, asyncpg.PostgresError) when the server cannot be reached.
    """
    pool = await asyncpg.create_pool(
        url,
        min_size=min_size,
        max_size=max_size,
        timeout=connect_timeout,
        command_timeout=command_timeout,
        server_settings={"application_name": application_name, "timezone": "UTC"},
    )
    if pool is None:
        raise RuntimeError("asyncpg gave no pool")
    return pool


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
