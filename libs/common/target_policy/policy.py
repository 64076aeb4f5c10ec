"""Which targets are refused: addresses and names that do not belong to the public internet.

The ranges are those of the IANA special-purpose registries (RFC 6890 and its successors) that are not globally
reachable, the transition ranges that carry an IPv4 address inside an IPv6 one, and a few globally routed addresses on
which clouds serve metadata. `ipaddress.is_global` alone does not do: it passes NAT64, 6to4, multicast and 192.0.0.192.
"""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_REFUSED_V4 = tuple(
    ipaddress.IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this network, RFC 791
        "10.0.0.0/8",  # private, RFC 1918
        "100.64.0.0/10",  # carrier-grade NAT, RFC 6598
        "127.0.0.0/8",  # loopback, RFC 1122
        "168.63.129.16/32",  # Azure's metadata and health host
        "169.254.0.0/16",  # link-local, RFC 3927, where clouds serve metadata
        "172.16.0.0/12",  # private, RFC 1918
        "192.0.0.0/24",  # IETF protocol assignments, RFC 6890; Oracle's metadata
        "192.0.2.0/24",  # documentation, RFC 5737
        "192.31.196.0/24",  # AS112, RFC 7535
        "192.52.193.0/24",  # AMT relays, RFC 7450
        "192.88.99.0/24",  # 6to4 relays, RFC 7526
        "192.168.0.0/16",  # private, RFC 1918
        "192.175.48.0/24",  # AS112, RFC 7534
        "198.18.0.0/15",  # benchmarking, RFC 2544
        "198.51.100.0/24",  # documentation, RFC 5737
        "203.0.113.0/24",  # documentation, RFC 5737
        "224.0.0.0/4",  # multicast, RFC 5771
        "240.0.0.0/4",  # reserved and broadcast, RFC 1112
    )
)

_GLOBAL_V6 = ipaddress.IPv6Network("2000::/3")
_REFUSED_V6 = tuple(
    ipaddress.IPv6Network(text)
    for text in (
        "2001::/23",  # IETF protocol assignments, RFC 2928: Teredo, ORCHID, benchmarking, AMT, …
        "2001:db8::/32",  # documentation, RFC 3849
        "2002::/16",  # 6to4, RFC 3056: an IPv4 address inside
        "2620:4f:8000::/48",  # AS112, RFC 7534
        "3fff::/20",  # documentation, RFC 9637
    )
)

_REFUSED_SUFFIXES = (
    ".localhost",  # RFC 6761
    ".local",  # RFC 6762
    ".internal",  # reserved by ICANN for private use
    ".localdomain",
    ".lan",
    ".home",
    ".corp",
    ".intranet",
    ".private",
    ".home.arpa",  # RFC 8375
    ".svc",  # Kubernetes
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a target must not be contacted."""

    reason: str
    """UPPER_SNAKE and stable."""
    message: str


class TargetPolicy:
    """Refuses targets that are not of the public internet, and our own hosts; settings may allow some of them."""

    def __init__(
        self,
        *,
        allowed_networks: Iterable[Network] = (),
        allowed_hosts: Iterable[str] = (),
        own_hosts: Iterable[str] = (),
    ) -> None:
        """Takes the exceptions.

        Args:
            allowed_networks: Networks that may be reached although they are not public.
            allowed_hosts: Names that may be reached although they are not public: `name`, `.suffix` for every name
                below it, or `*` for every name.
            own_hosts: Names, in the same form, by which visitors reach us; refused although they are public, because a
                trace of our own click URL would start another trace.
        """
        self._allowed_networks = tuple(allowed_networks)
        self._allowed_hosts = tuple(_normal(host) for host in allowed_hosts)
        self._own_hosts = tuple(_normal(host) for host in own_hosts)

    def refusal(self, host: str) -> Refusal | None:
        """Returns why a host is refused; None if it may be contacted.

        `host` is as the WHATWG URL standard serialises it: lower-case ASCII, IPv4 in four decimal parts, IPv6 in
        brackets. Other spellings of an address would pass as names.
        """
        host = host.rstrip(".")
        if self._own_hosts and _covers(self._own_hosts, host):
            return Refusal("OWN_HOST", "the target is a host of our own")
        address = _address(host)
        if address is not None:
            return self.address_refusal(address)
        return None if self._allowed_hosts and _covers(self._allowed_hosts, host) else _name_refusal(host)

    def address_refusal(self, address: Address) -> Refusal | None:
        """Returns why an address is refused; None if it may be connected to."""
        dialled = _dialled(address)
        if _is_special(dialled) and not self._allows(dialled):
            return Refusal("SPECIAL_ADDRESS", "the target is an address that is not of the public internet")
        return None

    def dialled_refusal(self, host: str, address: Address) -> Refusal | None:
        """Returns why an address that `host` resolved to is refused; None if it may be connected to.

        `host` has passed `refusal`. Call this for the address that is really dialled, or a name that resolves anew
        between check and connection (DNS rebinding) gets around the policy.
        """
        if _covers(self._allowed_hosts, _normal(host)):
            return None
        return self.address_refusal(address)

    def _allows(self, address: Address) -> bool:
        return any(address in network for network in self._allowed_networks)


def _normal(host: str) -> str:
    return host.strip().lower().rstrip(".")


def _covers(suffixes: tuple[str, ...], host: str) -> bool:
    return any(
        suffix == "*" or (host.endswith(suffix) if suffix.startswith(".") else host == suffix) for suffix in suffixes
    )


def _name_refusal(host: str) -> Refusal | None:
    if not host:
        return Refusal("NO_HOST", "the target has no host")
    if "." not in host:
        # The public internet has no names of one label; a cluster and an office have many.
        return Refusal("LOCAL_NAME", "the target is a name of one label")
    # In a cluster with another zone than `cluster.local`, `.svc.` stands before it.
    if host.endswith(_REFUSED_SUFFIXES) or ".svc." in host:
        return Refusal("LOCAL_NAME", "the target is a name that is not of the public internet")
    return None


def _address(host: str) -> Address | None:
    # The URL parser leaves no other form of an address: brackets, or a last label of digits.
    if not host.endswith("]") and not host[-1:].isdigit():
        return None
    try:
        return ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None


def _dialled(address: Address) -> Address:
    """Returns the address that is judged: for an IPv4-mapped one (RFC 4291) the IPv4 address inside.

    The other ranges that carry an IPv4 address inside (IPv4-compatible, NAT64, 6to4, Teredo) are refused whole.
    """
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _is_special(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv4Address):
        return any(address in network for network in _REFUSED_V4)
    # Everything outside 2000::/3 is special or not assigned: loopback, IPv4-compatible, NAT64 (64:ff9b::/96 and
    # 64:ff9b:1::/48), discard-only, unique local, link-local, site-local, multicast, SRv6.
    return address not in _GLOBAL_V6 or any(address in network for network in _REFUSED_V6)
