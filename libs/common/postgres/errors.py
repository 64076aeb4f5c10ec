"""Tells failures of PostgreSQL that pass from those that are the statement's own."""

import asyncpg

from libs.common.errors import ClicktraceError, database_unavailable

FAILURES = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
"""What the driver raises.

TimeoutError is an OSError; InternalClientError comes from a connection that breaks in the middle of a change of state.
"""

# SQLSTATE classes in which the statement is not to blame: connection (08), a rollback such as a deadlock (40),
# resources (53), an object in use or a lock that was not got (55), operator intervention (57), the system around the
# server (58); and a server that takes no writes, as a failover leaves it.
_PASSING = ("08", "40", "53", "55", "57", "58", "25006")


def unavailable(error: BaseException) -> ClicktraceError:
    """Returns UNAVAILABLE/DATABASE_UNAVAILABLE, without the driver's message, which may name hosts and users."""
    return database_unavailable(f"the database cannot be used now ({type(error).__name__}); try again")


def translated(error: Exception) -> ClicktraceError:
    """Returns the error that callers see for one of `FAILURES`; re-raises it if the statement is to blame."""
    if isinstance(error, asyncpg.PostgresError) and not (error.sqlstate or "").startswith(_PASSING):
        raise error
    return unavailable(error)
