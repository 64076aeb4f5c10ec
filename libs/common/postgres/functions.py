"""The functions of a schema, with the triggers and views that belong to them: one `.sql` file each, applied as a set.

A file is called `schema.name.sql` and holds CREATE OR REPLACE statements. It is applied when its text changes, and all
of them are when a migration ran since. A set has a version: a lower one is never applied over a higher one, so that
the `migrate` of an older release, or of one that is taken back, leaves what newer replicas call.

What is applied stands in the table `functions` of the schema. Only `migrate` writes it.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

from libs.common.postgres.database import Connection, LentConnection
from libs.common.process import logs

log = logs.get(__name__)

_DIRECTORY, _VERSION_FILE = "functions", "version.txt"


@dataclass(frozen=True, slots=True)
class FunctionSet:
    """All functions of one schema, as a build of the code has them."""

    version: int
    """Grows with every change of a file."""
    files: Mapping[str, str]
    """The text of each file by its name without `.sql`, in the order in which they are applied."""

    @property
    def checksums(self) -> dict[str, str]:
        """The SHA-256 of each file by its name, in hexadecimal."""
        return {name: hashlib.sha256(text.encode()).hexdigest() for name, text in self.files.items()}

    @property
    def digest(self) -> str:
        """The SHA-256 of all names and texts, in hexadecimal: what `version` stands for."""
        listed = "".join(f"{checksum}  {name}\n" for name, checksum in self.checksums.items())
        return hashlib.sha256(listed.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Applied:
    """What the table `functions` records."""

    version: int
    """The version of the set that was applied; 0 if none was."""
    checksums: Mapping[str, str]
    """The checksum of each file that was applied since the last migration, by its name."""

    def lacks(self, wanted: FunctionSet) -> Sequence[str]:
        """Returns the files of a set that are missing or different here, in order; none if this is a newer set."""
        if self.version > wanted.version:
            return []
        return [name for name, checksum in wanted.checksums.items() if self.checksums.get(name) != checksum]


def read_functions(package: str) -> FunctionSet:
    """Reads the directory `functions` of a package: its `.sql` files, and `version.txt` with the version of the set.

    A package without that directory has no functions, at version 0.
    """
    directory = resources.files(package).joinpath(_DIRECTORY)
    if not directory.is_dir():
        return FunctionSet(0, {})
    entries = sorted((entry.name, entry) for entry in directory.iterdir() if entry.name.endswith(".sql"))
    version, _ = directory.joinpath(_VERSION_FILE).read_text(encoding="utf-8").split()
    return FunctionSet(
        int(version), {name.removesuffix(".sql"): entry.read_text(encoding="utf-8") for name, entry in entries}
    )


async def read_applied(connection: "Connection | LentConnection", schema: str) -> Applied:
    """Returns what is applied; what asyncpg raises if the schema was never migrated."""
    rows = await connection.fetch(
        "SELECT name, checksum, set_version,"  # noqa: S608 - ours
        f' schema_version = (SELECT count(*) FROM "{schema}".migrations) AS is_current FROM "{schema}".functions'
    )
    return Applied(
        max((row["set_version"] for row in rows), default=0),
        {row["name"]: row["checksum"] for row in rows if row["is_current"]},
    )


async def create_table(connection: Connection, schema: str) -> None:
    """Makes the table `functions` unless it is there."""
    await connection.execute(
        f'CREATE TABLE IF NOT EXISTS "{schema}".functions ('
        "name text PRIMARY KEY, checksum text NOT NULL, set_version integer NOT NULL, "
        # How many migrations the schema had had by then: they are numbered with gaps.
        "schema_version integer NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
    )


async def apply(connection: Connection, schema: str, wanted: FunctionSet) -> Sequence[str]:
    """Applies the files of a set that are missing or different, in order, and returns their names.

    The caller holds a transaction in which nobody else does this. A newer set is left as it is, which is logged.
    """
    applied = await read_applied(connection, schema)
    if applied.version > wanted.version:
        log.warning("migrate.functions_newer", schema=schema, found=applied.version, ours=wanted.version)
        return []
    missing = applied.lacks(wanted)
    # A function may call one that comes after it.
    await connection.execute("SET LOCAL check_function_bodies = off")
    for name in missing:
        await connection.execute(wanted.files[name])
    table = f'"{schema}".functions'
    await connection.execute(f"DELETE FROM {table} WHERE name <> ALL ($1)", list(wanted.files))  # noqa: S608 - ours
    await connection.execute(
        f'INSERT INTO {table} AS known SELECT name, checksum, $3, (SELECT count(*) FROM "{schema}".migrations)'  # noqa: S608
        " FROM unnest($1::text[], $2::text[]) AS wanted (name, checksum)"
        " ON CONFLICT (name) DO UPDATE SET checksum = excluded.checksum, set_version = excluded.set_version,"
        " schema_version = excluded.schema_version, applied_at = excluded.applied_at"
        " WHERE (known.checksum, known.set_version, known.schema_version)"
        " IS DISTINCT FROM (excluded.checksum, excluded.set_version, excluded.schema_version)",
        list(wanted.files),
        list(wanted.checksums.values()),
        wanted.version,
    )
    return missing
