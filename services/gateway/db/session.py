"""The named statements of the gateway, and what their answers are read as."""

from typing import Any, Protocol

from libs.common.postgres import sql

QUERIES = sql.load(__package__)
"""Every statement of the gateway, by name."""


class Row(Protocol):
    """A row, read by column name."""

    def __getitem__(self, column: str, /) -> Any:
        """Returns the value of a column."""
        ...

    def get(self, key: str) -> Any:
        """Returns the value of a column; None if the row has no such column."""
        ...


def affected_rows(tag: str) -> int:
    """Returns the number of rows that a command touched, from its command tag such as `DELETE 3`."""
    return int(tag.rpartition(" ")[2])
