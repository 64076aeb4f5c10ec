"""An offer as a store returns it: readable or not, and the errors of offers that cannot be served."""

from dataclasses import dataclass
from typing import TypeAlias

from libs.common.errors import ClicktraceError, Code, Violation
from services.gateway.model import Offer


@dataclass(frozen=True, slots=True)
class UnreadableOffer:
    """A stored offer that this build cannot read: written by hand, or by a newer build."""

    name: str
    violations: tuple[Violation, ...]
    """The fields that cannot be read, and why."""


StoredOffer: TypeAlias = Offer | UnreadableOffer


def unknown_offer(name: str) -> ClicktraceError:
    """Returns the NOT_FOUND/UNKNOWN_OFFER error for an offer that does not exist or is disabled."""
    return ClicktraceError(Code.NOT_FOUND, "UNKNOWN_OFFER", f"there is no offer {name!r}")


def unreadable_offer(offer: UnreadableOffer) -> ClicktraceError:
    """Returns the FAILED_PRECONDITION/OFFER_UNREADABLE error that names every field that cannot be read."""
    listed = "; ".join(f"{violation.field}: {violation.description}" for violation in offer.violations)
    return ClicktraceError(
        Code.FAILED_PRECONDITION,
        "OFFER_UNREADABLE",
        f"the stored offer {offer.name!r} cannot be read by this build: {listed}; write these fields with UpdateOffer, "
        "or run the build that wrote them",
        violations=offer.violations,
    )
