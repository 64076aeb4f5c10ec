"""Which failures of the database pass with time, and what callers are told of them."""

import asyncpg
import pytest

from libs.common.errors import ClicktraceError, Code
from libs.common.postgres.errors import FAILURES, translated

PASSING = {
    "deadlock": asyncpg.DeadlockDetectedError,
    "serialization": asyncpg.SerializationError,
    "too many connections": asyncpg.TooManyConnectionsError,
    "disk full": asyncpg.DiskFullError,
    "lock not got": asyncpg.LockNotAvailableError,
    "object in use": asyncpg.ObjectInUseError,
    "shutdown": asyncpg.AdminShutdownError,
    "cancelled": asyncpg.QueryCanceledError,
    "system": asyncpg.PostgresIOError,
    "connection": asyncpg.ConnectionDoesNotExistError,
    "standby": asyncpg.ReadOnlySQLTransactionError,
    "interface": asyncpg.InterfaceError,
    "client": asyncpg.InternalClientError,
    "socket": ConnectionResetError,
    "timeout": TimeoutError,
}


@pytest.mark.parametrize("kind", PASSING)
def test_what_passes_with_time_is_to_be_tried_again(kind: str) -> None:
    failure = PASSING[kind]("host db.internal, user pool")
    assert isinstance(failure, FAILURES)
    error = translated(failure)
    assert (error.code, error.reason, error.retry_after) == (Code.UNAVAILABLE, "DATABASE_UNAVAILABLE", 1.0)
    assert type(failure).__name__ in error.message
    assert "db.internal" not in error.message


@pytest.mark.parametrize(
    "kind",
    [
        asyncpg.DivisionByZeroError,
        asyncpg.UniqueViolationError,
        asyncpg.UndefinedTableError,
        asyncpg.InsufficientPrivilegeError,
        # Of the same class as the standby, and a mistake of the statement's.
        asyncpg.NoActiveSQLTransactionError,
    ],
)
def test_the_fault_of_a_statement_stays_what_it_is(kind: type[asyncpg.PostgresError]) -> None:
    failure = kind("wrong")
    with pytest.raises(kind) as caught:
        translated(failure)
    assert caught.value is failure
    assert not isinstance(caught.value, ClicktraceError)
