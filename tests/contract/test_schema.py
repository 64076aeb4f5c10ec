"""Of each service, `db/schema.sql` is what its migrations and functions make of an empty database.

With REFRESH_SCHEMA=1 (`make schema`) the file is written, and a set of functions that has changed gets its next
version.
"""

import difflib
import os
import re
from pathlib import Path

import pytest

from libs.common.postgres.functions import FunctionSet, read_functions
from libs.common.postgres.migrate import migrate
from local.postgres.server import EmbeddedPostgres
from tests.conftest import SCHEMAS
from tests.support import schema as schemas

ROOT = Path(__file__).resolve().parents[2]
REFRESH = os.environ.get("REFRESH_SCHEMA") == "1"
HEAD = (
    "-- Made by `make schema` from migrations/ and functions/ beside it, to be read and compared; nothing runs it.\n\n"
)
ADVICE = "run `make schema` and commit what it changes"
_CREATES = re.compile(r"^CREATE OR REPLACE (?:FUNCTION|VIEW) ([\w.]+)", re.MULTILINE)

pytestmark = pytest.mark.parametrize("schema", SCHEMAS)


def directory(schema: str) -> Path:
    return ROOT / SCHEMAS[schema].replace(".", "/")


async def test_schema_sql_is_what_migrations_and_functions_make(
    schema: str, postgres: EmbeddedPostgres, empty_database: str
) -> None:
    await migrate(empty_database, schema=schema, package=SCHEMAS[schema])
    made = HEAD + schemas.dump(postgres, empty_database, "--schema-only")
    file = directory(schema) / "schema.sql"
    if REFRESH:
        file.write_text(made, encoding="utf-8")
    written = file.read_text(encoding="utf-8") if file.exists() else ""
    difference = difflib.unified_diff(written.splitlines(), made.splitlines(), "schema.sql", "made", lineterm="", n=1)
    assert not (lines := list(difference)), "\n".join(
        [f"{file.relative_to(ROOT)} is not what migrations/ and functions/ beside it make: {ADVICE}", *lines]
    )


def test_a_set_of_functions_that_changes_gets_another_version(schema: str) -> None:
    file = directory(schema) / "functions" / "version.txt"
    functions = read_functions(SCHEMAS[schema])
    _, digest = file.read_text(encoding="utf-8").split()
    if REFRESH and digest != functions.digest:
        file.write_text(f"{functions.version + 1} {functions.digest}\n", encoding="utf-8")
        _, digest = file.read_text(encoding="utf-8").split()
    assert digest == functions.digest, f"{file.relative_to(ROOT)} is of another set of functions: {ADVICE}"


def test_a_file_makes_what_it_is_called_after_and_can_be_applied_again(schema: str) -> None:
    functions: FunctionSet = read_functions(SCHEMAS[schema])
    assert {name: _CREATES.findall(text) for name, text in functions.files.items()} == {
        name: [name] for name in functions.files
    }
    again = re.compile(r"^CREATE (?!OR REPLACE)", re.MULTILINE)
    assert [name for name, text in functions.files.items() if again.search(text)] == []


def test_migrations_carry_tables_only(schema: str) -> None:
    """What can be replaced as a whole stands in functions/, once; else it could be read by replaying files only."""
    carries = re.compile(r"\bCREATE\b[^;]*?\b(FUNCTION|PROCEDURE|VIEW|TRIGGER)\b")
    migrations = sorted((directory(schema) / "migrations").glob("*.sql"))
    assert migrations
    text = {file.name: re.sub(r"--.*", "", file.read_text(encoding="utf-8")) for file in migrations}
    assert [name for name in text if carries.search(text[name])] == []
