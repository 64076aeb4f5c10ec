"""The operator token: who may change things."""

import hmac
from collections.abc import Iterable
from typing import Protocol

from libs.common.errors import ClicktraceError, Code


class HasMetadata(Protocol):
    """What is needed of a servicer context."""

    def invocation_metadata(self) -> Iterable[tuple[str, str | bytes]] | None:
        """Returns the metadata of the call."""
        ...


def require_operator(context: HasMetadata, token: str) -> None:
    """Passes when the call carries `authorization: Bearer TOKEN`, or when no token is set.

    Raises UNAUTHENTICATED/OPERATOR_TOKEN_REQUIRED without one, PERMISSION_DENIED/WRONG_OPERATOR_TOKEN with another.
    """
    if not token:
        return
    given = next((value for key, value in context.invocation_metadata() or () if key == "authorization"), None)
    if given is None:
        raise ClicktraceError(
            Code.UNAUTHENTICATED,
            "OPERATOR_TOKEN_REQUIRED",
            "this call needs the operator token; send the metadata `authorization: Bearer TOKEN`",
        )
    expected = f"Bearer {token}".encode()
    if not hmac.compare_digest(given.encode() if isinstance(given, str) else given, expected):
        raise ClicktraceError(
            Code.PERMISSION_DENIED, "WRONG_OPERATOR_TOKEN", "the operator token is not the one this server was given"
        )
