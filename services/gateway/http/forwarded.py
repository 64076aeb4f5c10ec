"""Finds the visitor's address behind proxies; pure rules."""

import ipaddress
from collections.abc import Sequence
from functools import lru_cache

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_MOST_HOPS = 32


def visitor_address(peer: str, forwarded: Sequence[str], trusted: Sequence[Network], hops: int = 0) -> str:
    """Returns the address of the visitor.

    `peer` is the address that connected, `forwarded` the `X-Forwarded-For` headers in order. Each proxy appends the
    address it has seen, so the list is read from its end, as long as its writer is trusted: the last `hops` proxies
    (the peer is the first of them) whatever their addresses are, and those in the `trusted` networks. Entries that a
    visitor has put in front are ignored.
    """
    current = _normal(peer)
    if not forwarded or current is None:
        return peer if current is None else str(current)
    # Read from the end, and not further than a chain of proxies can be long: the rest may be a megabyte of anything.
    entries = ",".join(forwarded).rsplit(",", _MOST_HOPS)[-_MOST_HOPS:]
    for passed, entry in enumerate(reversed(entries)):
        if passed >= hops and not any(current in network for network in trusted):
            break
        before = _normal(entry.strip())
        if before is None:
            break
        current = before
    return str(current)


# Proxies in front are few, and a flood comes from few addresses.
@lru_cache(maxsize=4_096)
def _normal(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Reads an address, with or without a port, IPv4-mapped IPv6 as IPv4; None if it is malformed."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
