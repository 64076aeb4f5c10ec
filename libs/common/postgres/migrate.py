"""Schema migrations: numbered `.sql` files of a service, applied once, in order, by whoever comes first.

Each file runs in a transaction of its own together with the row that records it, under an advisory lock, so that any
number of replicas may call this at once, also through a pooler. A file that was applied must not change afterwards; a
checksum sees to it.
"""

import hashlib
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import resources
from typing import TypeAlias

import asyncpg

from libs.common.errors import ClicktraceError, Code
from libs.common.postgres import database

# Quoted, because it is generic in the stubs only.
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

_FILE = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")


class MigrationError(ClicktraceError):
    """The migrations of a service and the database do not agree."""

    def __init__(self, message: str) -> None:
        """FAILED_PRECONDITION/MIGRATION_FAILED with a message that says what to do."""
        super().__init__(Code.FAILED_PRECONDITION, "MIGRATION_FAILED", message)


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file."""

    version: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """The SHA-256 of the file, in hexadecimal."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def read_migrations(package: str) -> Sequence[Migration]:
    """Reads the migrations of a package in order; MigrationError for a twin or a file with another name.

    Gaps are allowed: what several people write at the same time gets numbers that lie apart.
    """
    migrations = []
    for entry in resources.files(package).iterdir():
        if not entry.name.endswith(".sql"):
            continue
        match = _FILE.fullmatch(entry.name)
        if not match:
            raise MigrationError(f"{package}/{entry.name}: a migration is named NNNN_what_it_does.sql")
        migrations.append(Migration(int(match[1]), entry.name, entry.read_text(encoding="utf-8")))
    migrations.sort(key=lambda migration: migration.version)
    if len({migration.version for migration in migrations}) != len(migrations):
        raise MigrationError(f"{package}: two migrations have the same number")
    return migrations


async def migrate(url: str, *, schema: str, package: str) -> Sequence[str]:
    """Brings a schema up to date and returns the names of the files that were applied now.

    A database that is newer than the code is left as it is, so that old and new replicas can run side by side. Raises
    MigrationError when an applied file has changed, and what asyncpg raises when the server cannot be reached or a
    statement fails.
    """
    migrations = read_migrations(package)
    connection = await database.connect(url, application_name="clicktrace-migrate", timeout=10)
    try:
        async with _locked(connection, schema):
            await connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema}"')
            await connection.execute(
                f'CREATE TABLE IF NOT EXISTS "{schema}".migrations ('
                "version integer PRIMARY KEY, name text NOT NULL, checksum text NOT NULL, "
                "applied_at timestamptz NOT NULL DEFAULT now())"
            )
        return [migration.name for migration in migrations if await _apply(connection, schema, migration)]
    finally:
        await connection.close()


async def _apply(connection: Connection, schema: str, migration: Migration) -> bool:
    """Applies one file unless that was done before, and tells whether it was done now."""
    async with _locked(connection, schema):
        known = await connection.fetchval(
            f'SELECT checksum FROM "{schema}".migrations WHERE version = $1',  # noqa: S608 - ours
            migration.version,
        )
        if known is None:
            await connection.execute(migration.sql)
            await connection.execute(
                f'INSERT INTO "{schema}".migrations (version, name, checksum) VALUES ($1, $2, $3)',  # noqa: S608
                migration.version,
                migration.name,
                migration.checksum,
            )
        elif known != migration.checksum:
            raise MigrationError(
                f"{schema}: {migration.name} was changed after it was applied; restore it and add a new migration"
            )
    return known is None


@asynccontextmanager
async def _locked(connection: Connection, schema: str) -> AsyncIterator[None]:
    """Is a transaction in which nobody else migrates the schema."""
    lock = int.from_bytes(hashlib.sha256(f"clicktrace:{schema}".encode()).digest()[:8], signed=True)
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", lock)
        yield
