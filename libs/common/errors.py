"""The one error type that crosses every boundary.

A `ClicktraceError` is a canonical code, a stable UPPER_SNAKE reason, and a message that says what to do (AIP-193).
Messages may change, reasons may not. How it looks on a wire is known elsewhere: gRPC in `libs.common.rpc.status`, HTTP
in `services.gateway.http.errors`.
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass

# A message names this many violations; all of them are in the details.
_LISTED = 20
_DATABASE_RETRY_SECONDS = 1.0


class Code(enum.Enum):
    """The canonical codes (google.rpc.Code) that are in use, by their numbers on the wire."""

    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


@dataclass(frozen=True, slots=True)
class Violation:
    """What is wrong with one field of a request."""

    field: str
    """The path of the field, as in `proxies[3].ip_port`."""
    description: str
    """What is wrong, and what would be right."""


class ClicktraceError(Exception):
    """An error that a caller can act on."""

    def __init__(
        self,
        code: Code,
        reason: str,
        message: str,
        *,
        retry_after: float | None = None,
        violations: Sequence[Violation] = (),
    ) -> None:
        """Describes the error; `retry_after` is in seconds, and set where waiting helps."""
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.retry_after = retry_after
        self.violations = tuple(violations)

    def __str__(self) -> str:
        return f"{self.code.name}/{self.reason}: {self.message}"


def invalid_request(violations: Sequence[Violation]) -> ClicktraceError:
    """Returns the INVALID_ARGUMENT/INVALID_REQUEST error that names every violation at once."""
    listed = "; ".join(f"{violation.field}: {violation.description}" for violation in violations[:_LISTED])
    if len(violations) > _LISTED:
        listed += f"; and {len(violations) - _LISTED} more"
    return ClicktraceError(Code.INVALID_ARGUMENT, "INVALID_REQUEST", listed, violations=violations)


def database_unavailable(message: str) -> ClicktraceError:
    """Returns the UNAVAILABLE/DATABASE_UNAVAILABLE error; a call may be tried again after a second."""
    return ClicktraceError(Code.UNAVAILABLE, "DATABASE_UNAVAILABLE", message, retry_after=_DATABASE_RETRY_SECONDS)
