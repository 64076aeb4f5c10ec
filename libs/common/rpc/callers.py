"""Who calls: the names in the certificate that a caller has shown, and what they may do."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol

from libs.common.errors import ClicktraceError, Code

_NAMES = "x509_subject_alternative_name"


class HasAuthContext(Protocol):
    """What is needed of a servicer context."""

    def auth_context(self) -> Mapping[str, Iterable[bytes]]:
        """Returns what the transport knows of the peer."""
        ...


@dataclass(frozen=True, slots=True)
class Caller:
    """A caller whose certificate the transport has verified."""

    names: frozenset[str]
    """Its subject alternative names: DNS names and URIs such as SPIFFE ids."""
    is_operator: bool
    """Whether one of them is an operator's."""

    def __str__(self) -> str:
        return ", ".join(sorted(self.names)) or "a certificate without names"

    @classmethod
    def of(cls, context: HasAuthContext, operators: Collection[str]) -> "Caller":
        """Reads who calls; DNS names are told apart without regard to case."""
        names = frozenset(_plain(name.decode(errors="replace")) for name in context.auth_context().get(_NAMES, ()))
        return cls(names, not names.isdisjoint(map(_plain, operators)))

    def is_any_of(self, identities: Collection[str]) -> bool:
        """Tells whether one of its names is among these."""
        return not self.names.isdisjoint(map(_plain, identities))


_current: ContextVar[Caller | None] = ContextVar("caller", default=None)


def current() -> Caller | None:
    """Returns who makes the call that is being answered; None where callers show no certificates."""
    return _current.get()


@contextmanager
def calling(caller: Caller) -> Iterator[None]:
    """Makes `current` return this caller inside the block."""
    token = _current.set(caller)
    try:
        yield
    finally:
        _current.reset(token)


def refused(caller: Caller, service: str) -> ClicktraceError:
    """Returns the error for a caller that may not use a service."""
    return ClicktraceError(
        Code.PERMISSION_DENIED, "CALLER_NOT_ALLOWED", f"the certificate of {caller} gives no right to call {service}"
    )


def _plain(name: str) -> str:
    return name if "://" in name else name.lower()
