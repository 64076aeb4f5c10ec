"""Schema migrations: numbered `.sql` files for the tables of a service, and a set of functions over them.

A package keeps them in its directories `migrations` and `functions`. Each migration is applied once, in order, by
whoever comes first: in a transaction of its own together with the row that records it, under an advisory lock, so that
any number of replicas may call this at once, also through a pooler. A file that was applied must not change afterwards;
a checksum sees to it. The functions (`libs.common.postgres.functions`) follow in one transaction under the same lock.
"""

import hashlib
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import resources

import asyncpg

from libs.common.errors import ClicktraceError, Code
from libs.common.postgres import database, functions
from libs.common.postgres.database import Connection, Pool
from libs.common.process import logs

log = logs.get(__name__)

_DIRECTORY, _EARLIER_FILE = "migrations", "earlier.sha256"
# A change that waits for a table's lock keeps everybody else from that table. Leases that queue up behind it for this
# long are answered late; for longer, and they would fail.
_LOCK_SECONDS = 2
_FILE = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")


class MigrationError(ClicktraceError):
    """The database does not have the schema that this build needs."""

    def __init__(self, message: str) -> None:
        """FAILED_PRECONDITION/MIGRATION_FAILED with a message that says what to do."""
        super().__init__(Code.FAILED_PRECONDITION, "MIGRATION_FAILED", message)


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file."""

    version: int
    name: str
    sql: str
    earlier: frozenset[str] = frozenset()
    """Checksums of forms of the file that did the same to the tables; a database that was given one of them has it."""

    @property
    def checksum(self) -> str:
        """The SHA-256 of the file, in hexadecimal."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Migrated:
    """What was applied now, by name and in order."""

    migrations: Sequence[str]
    functions: Sequence[str]


def read_migrations(package: str) -> Sequence[Migration]:
    """Reads the migrations of a package in order.

    Gaps are allowed: what several people write at the same time gets numbers that lie apart. `earlier.sha256` lists the
    checksums of earlier forms, and with them the numbers of files that are no more. Raises MigrationError for a twin,
    for such a number in a new file, and for a file with another kind of name.
    """
    directory = resources.files(package).joinpath(_DIRECTORY)
    earlier = _read_earlier(package)
    migrations = []
    for entry in directory.iterdir():
        if not entry.name.endswith(".sql"):
            continue
        match = _FILE.fullmatch(entry.name)
        if not match:
            raise MigrationError(f"{package}: {entry.name}: a migration is named NNNN_what_it_does.sql")
        was_here = {name for name in earlier if name.startswith(match[1])} - {entry.name}
        if was_here:
            raise MigrationError(
                f"{package}: {entry.name}: databases know this number as {was_here.pop()}; take another"
            )
        sql = entry.read_text(encoding="utf-8")
        migrations.append(Migration(int(match[1]), entry.name, sql, frozenset(earlier.get(entry.name, ()))))
    migrations.sort(key=lambda migration: migration.version)
    if len({migration.version for migration in migrations}) != len(migrations):
        raise MigrationError(f"{package}: two migrations have the same number")
    return migrations


def _read_earlier(package: str) -> dict[str, list[str]]:
    """Returns the checksums of earlier forms by file name."""
    file = resources.files(package).joinpath(_DIRECTORY).joinpath(_EARLIER_FILE)
    checksums: dict[str, list[str]] = {}
    if file.is_file():
        for line in file.read_text(encoding="utf-8").splitlines():
            checksum, _, name = line.partition("  ")
            checksums.setdefault(name, []).append(checksum)
    return checksums


async def migrate(url: str, *, schema: str, package: str) -> Migrated:
    """Brings a schema up to date, and logs and returns what was applied.

    A database that is newer than the code is left as it is, so that old and new replicas can run side by side; so are
    functions of a newer set. Raises MigrationError when an applied file has changed or a table is locked, and what
    asyncpg raises when the server cannot be reached or a statement fails.
    """
    migrations, wanted = read_migrations(package), functions.read_functions(package)
    connection = await database.connect(url, application_name="clicktrace-migrate", timeout=10)
    try:
        async with _locked(connection, schema):
            await connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema}"')
            await connection.execute(
                f'CREATE TABLE IF NOT EXISTS "{schema}".migrations ('
                "version integer PRIMARY KEY, name text NOT NULL, checksum text NOT NULL, "
                "applied_at timestamptz NOT NULL DEFAULT now())"
            )
            await functions.create_table(connection, schema)
        applied = [migration.name for migration in migrations if await _apply(connection, schema, migration)]
        async with _locked(connection, schema):
            replaced = await functions.apply(connection, schema, wanted)
    finally:
        await connection.close()
    log.info("migrate.done", schema=schema, migrations=applied, functions=list(replaced))
    return Migrated(applied, replaced)


async def check(pool: Pool, *, schema: str, package: str) -> None:
    """Raises MigrationError unless the schema has what this build needs; a newer one has.

    Changes nothing. Raises what asyncpg raises when the server cannot be reached.
    """
    async with pool.acquire() as connection:
        try:
            versions = {row["version"] for row in await connection.fetch(f'SELECT version FROM "{schema}".migrations')}  # noqa: S608 - ours
            applied = await functions.read_applied(connection, schema)
        except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError):
            versions, applied = set(), functions.Applied(0, {})
    missing = [migration.name for migration in read_migrations(package) if migration.version not in versions]
    missing += applied.lacks(functions.read_functions(package))
    if missing:
        raise MigrationError(
            f"the schema {schema} is older than this build and lacks {', '.join(missing)}: run"
            f" `python -m {package.removesuffix('.db')} migrate`"
        )


async def _apply(connection: Connection, schema: str, migration: Migration) -> bool:
    """Applies one file unless it was applied before; returns whether it was applied now."""
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
        elif known != migration.checksum and known not in migration.earlier:
            raise MigrationError(
                f"{schema}: {migration.name} was changed after it was applied; restore it and add a new migration"
            )
    return known is None


@asynccontextmanager
async def _locked(connection: Connection, schema: str) -> AsyncIterator[None]:
    """Is a transaction in which nobody else migrates the schema.

    Raises MigrationError if a table that is to be changed stays locked for 2 s.
    """
    lock = int.from_bytes(hashlib.sha256(f"clicktrace:{schema}".encode()).digest()[:8], signed=True)
    try:
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", lock)
            await connection.execute(f"SET LOCAL lock_timeout = '{_LOCK_SECONDS}s'")
            yield
    except asyncpg.LockNotAvailableError as error:
        raise MigrationError(
            f"{schema}: a table that is to be changed was in use for {_LOCK_SECONDS} s: end the long transaction on it"
            " (pg_stat_activity) or run this again"
        ) from error
