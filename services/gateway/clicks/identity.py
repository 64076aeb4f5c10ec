"""Click identities: which clicks are the same click."""

import hashlib
from collections.abc import Sequence

from services.gateway.model import Offer, Parameter
from services.gateway.urls.parameters import decoded


def click_identity(offer: Offer, inbound: Sequence[Parameter], address: str, user_agent: str) -> str | None:
    """Returns the identity of a click as 64 hexadecimal digits; None if nothing tells it from others.

    It is a hash of the offer, of all its identity parameters that are present with a value, and of the visitor's
    address and User-Agent: Google says that a gclid alone is not unique per click. Spelling does not matter (`%61` is
    `a`), the order of different parameters neither. The hash keeps personal data out of the table it is stored in.
    """
    wanted = {name.encode(): name for name in offer.identity_names}
    present = sorted(
        (decoded(parameter.name), decoded(parameter.value))
        for parameter in inbound
        if parameter.value and decoded(parameter.name) in wanted
    )
    if not present:
        return None
    digest = hashlib.sha256()
    parts = [offer.name.encode(), address.encode(), user_agent.encode("utf-8", "surrogateescape")]
    for name, value in present:
        parts += [name, value]
    for part in parts:
        # Lengths keep ("ab", "c") and ("a", "bc") apart.
        digest.update(len(part).to_bytes(8))
        digest.update(part)
    return digest.hexdigest()
