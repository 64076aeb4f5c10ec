"""Operators: who may change things, by token or by certificate."""

import hmac
from collections.abc import Iterable
from typing import Protocol

from libs.common.errors import ClicktraceError, Code
from libs.common.rpc import callers


class HasMetadata(Protocol):
    """What is needed of a servicer context."""

    def invocation_metadata(self) -> Iterable[tuple[str, str | bytes]] | None:
        """Returns the metadata of the call."""
        ...


class Called(HasMetadata, Protocol):
    """A servicer context that knows its caller."""

    def peer(self) -> str:
        """Returns from where the call came."""
        ...


def actor(context: Called) -> str:
    """Names who asks: what the metadata `x-operator` says, what the certificate says, and from where the call came."""
    caller = callers.current()
    peer = f"{caller} at {context.peer()}" if caller else context.peer()
    name = dict(context.invocation_metadata() or ()).get("x-operator", "")
    return f"{name[:64]} from {peer}" if isinstance(name, str) and name else peer


def require_operator(context: HasMetadata, token: str) -> None:
    """Passes when the caller's certificate is an operator's, or the call carries `authorization: Bearer TOKEN`.

    Where callers show no certificates and no token is set, everybody passes. Raises UNAUTHENTICATED with
    OPERATOR_TOKEN_REQUIRED without a token, or PERMISSION_DENIED with WRONG_OPERATOR_TOKEN for another one, or with
    OPERATOR_REQUIRED where there is no token and the certificate is not an operator's.
    """
    caller = callers.current()
    if caller is not None and caller.is_operator:
        return
    if not token:
        if caller is None:
            return
        raise ClicktraceError(
            Code.PERMISSION_DENIED,
            "OPERATOR_REQUIRED",
            f"only operators may do this, and the certificate is that of {caller}",
        )
    given = _authorization(context)
    if given is None:
        raise ClicktraceError(
            Code.UNAUTHENTICATED,
            "OPERATOR_TOKEN_REQUIRED",
            "this call needs the operator token; send the metadata `authorization: Bearer TOKEN`",
        )
    if not _is_bearer(given, token):
        raise ClicktraceError(
            Code.PERMISSION_DENIED, "WRONG_OPERATOR_TOKEN", "the operator token is not the one this server was given"
        )


def shows_token(context: HasMetadata, token: str) -> bool:
    """Tells whether the call carries the operator token; never where none is set."""
    given = _authorization(context)
    return bool(token) and given is not None and _is_bearer(given, token)


def _authorization(context: HasMetadata) -> str | bytes | None:
    """Returns the metadata `authorization` of a call."""
    return next((value for key, value in context.invocation_metadata() or () if key == "authorization"), None)


def _is_bearer(given: str | bytes, token: str) -> bool:
    return hmac.compare_digest(given.encode() if isinstance(given, str) else given, f"Bearer {token}".encode())
