"""Changes by operators, and the work of maintenance."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """The audit record of a change, written in the transaction of the change together with its result."""

    actor: str
    action: str
    details: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Maintained:
    """Result of one run of maintenance."""

    statistics_rows: int = 0
    expired_leases: int = 0
    deleted_rows: int = 0
    skipped: bool = False
