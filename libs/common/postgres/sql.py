"""Named SQL statements, kept in `.sql` files beside the code that runs them."""

import re
from collections.abc import Iterator, Mapping
from importlib import resources

_NAME = re.compile(r"^-- name: ([a-z][a-z0-9_]*)[ \t]*$", re.MULTILINE)


class Queries(Mapping[str, str]):
    """The statements of one file by name; an unknown name is a KeyError that lists what there is."""

    def __init__(self, source: str, statements: dict[str, str]) -> None:
        """Holds statements that were read from `source`."""
        self._source = source
        self._statements = statements

    def __getitem__(self, name: str) -> str:
        try:
            return self._statements[name]
        except KeyError:
            raise KeyError(f"{self._source} has no statement {name!r}, only {sorted(self._statements)}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._statements)

    def __len__(self) -> int:
        return len(self._statements)


def load(package: str, file: str = "queries.sql") -> Queries:
    """Reads the statements of a file in a package, each behind `-- name: some_name`; ValueError for a bad file."""
    text = resources.files(package).joinpath(file).read_text(encoding="utf-8")
    parts = _NAME.split(text)
    statements: dict[str, str] = {}
    for name, body in zip(parts[1::2], parts[2::2], strict=True):
        if name in statements:
            raise ValueError(f"{package}/{file}: {name} stands there twice")
        statements[name] = body.strip().rstrip(";")
    if not statements:
        raise ValueError(f"{package}/{file}: no statement is named; write `-- name: some_name` above each")
    return Queries(f"{package}/{file}", statements)
