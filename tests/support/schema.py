"""What a database of PostgreSQL is made of, as the text of a dump that says nothing of who made it where."""

import re
import subprocess
from pathlib import Path

import asyncpg

from local.postgres import binaries
from local.postgres.server import EmbeddedPostgres

_FORMER = Path(__file__).with_name("database_234582f.sql")
# Settings of the session that reads the dump, the program's version, and a key that is random.
_NOISE = re.compile(
    r"^(SET [a-z_]+ = .*;|SELECT pg_catalog\.set_config.*|\\(un)?restrict .*|-- Dumped (from|by) .*)\n", re.MULTILINE
)


def dump(server: EmbeddedPostgres, url: str, *options: str) -> str:
    """Returns a plain dump of the database of `url`, made by the pg_dump beside the server's programs."""
    program = binaries.find(server.data) / "pg_dump"
    command = [str(program), "--no-owner", *options, f"--dbname={url}"]
    text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    return re.sub(r"\n{3,}", "\n\n", _NOISE.sub("", text)).strip() + "\n"


async def restore_former(url: str) -> None:
    """Makes an empty database what one of commit 234582f was, with the rows that are in the dump of it."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(_FORMER.read_text(encoding="utf-8"))
    finally:
        await connection.close()
