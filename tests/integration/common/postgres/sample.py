"""A package `sample` with migrations and functions that a test writes as it needs them."""

from pathlib import Path

import asyncpg

FIRST = "CREATE TABLE sample.first (id int);"


async def fetch(url: str, query: str) -> list[tuple[object, ...]]:
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(query)]
    finally:
        await connection.close()


def write_functions(package: Path, version: int, **texts: str) -> None:
    """Makes the set of functions of the package this one, each of which returns a text."""
    directory = package.parent / "functions"
    directory.mkdir(exist_ok=True)
    for file in directory.glob("*.sql"):
        file.unlink()
    (directory / "version.txt").write_text(f"{version} no-digest\n")
    for name, text in texts.items():
        body = text if text.startswith("SELECT") else f"SELECT '{text}'::text"
        (directory / f"sample.{name}.sql").write_text(
            f"CREATE OR REPLACE FUNCTION sample.{name}() RETURNS text LANGUAGE sql AS $$ {body} $$;"
        )
