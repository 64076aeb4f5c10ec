"""Checks the proxies that operators want to add, all rows at once."""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import replace

from libs.common.errors import Violation, invalid_request
from libs.common.process.values import Address
from services.pool_manager.inventory.credentials import is_provider
from services.pool_manager.model.proxies import Protocol, ProxySpec
from services.pool_manager.validation import check_country, check_span

MAX_ROWS = 10_000
# A file with the wrong columns has a violation in every row; this many are enough.
_MAX_VIOLATIONS = 1000

_COOLDOWN = (0.0, 86_400.0)
_LABEL = "[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
# A name whose last label is a number is read as an IPv4 address by whatever connects (WHATWG URL, 3.5).
_NUMBER = re.compile("[0-9]+|0x[0-9a-f]*")
_HOST = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*")


def check_specs(rows: Sequence[ProxySpec], own: Address | None) -> Sequence[ProxySpec]:
    """Returns the rows in their normal form; an empty provider becomes `default`.

    `own` is where this server listens (None: this is no server): a proxy there would make the pool lease itself. Raises
    INVALID_ARGUMENT/INVALID_REQUEST that names every violation.
    """
    if not rows or (own is not None and len(rows) > MAX_ROWS):
        raise invalid_request([Violation("proxies", f"has {len(rows)} rows; give 1 to {MAX_ROWS}")])
    violations: list[Violation] = []
    specs: list[ProxySpec] = []
    seen: dict[tuple[str, int], int] = {}
    for index, row in enumerate(rows):
        spec = _check_row(violations, f"proxies[{index}]", row, own)
        first = seen.setdefault((spec.ip_address, spec.ip_port), index)
        if first != index:
            violations.append(Violation(f"proxies[{index}]", f"is the same address and port as proxies[{first}]"))
        specs.append(spec)
    if violations:
        raise invalid_request(violations[:_MAX_VIOLATIONS])
    return specs


def _check_row(violations: list[Violation], path: str, row: ProxySpec, own: Address | None) -> ProxySpec:
    address = _check_address(violations, f"{path}.ip_address", row.ip_address)
    if not 1 <= row.ip_port <= 65535:
        violations.append(Violation(f"{path}.ip_port", f"is {row.ip_port}; give 1 to 65535"))
    elif own is not None and row.ip_port == own.port and _is_own(address, own):
        violations.append(Violation(f"{path}.ip_address", "is the address of this server"))
    country = check_country(violations, f"{path}.country", row.country)
    provider = row.provider or "default"
    if not is_provider(provider):
        violations.append(
            Violation(f"{path}.provider", "must be 1 to 64 of A-Z, a-z, 0-9, '.', '_', '-', a letter or digit first")
        )
    if not row.protocol.is_known:
        violations.append(Violation(f"{path}.protocol", f"must be one of {', '.join(Protocol.__members__)}"))
    if row.cooldown is not None:
        check_span(violations, f"{path}.cooldown", row.cooldown, _COOLDOWN)
    return replace(row, ip_address=address, provider=provider, country=country)


def _is_own(address: str, own: Address) -> bool:
    """Returns whether connecting to `address` can reach a server that listens on `own`, of the same port."""
    try:
        listens, literal = ipaddress.ip_address(own.host), ipaddress.ip_address(address)
    except ValueError:
        return address == own.host.lower() or address == "localhost"
    return literal == listens or (listens.is_unspecified and literal.is_loopback)


def _check_address(violations: list[Violation], field: str, value: str) -> str:
    """Checks a host name or IP literal and returns its one normal form, so that none is added twice."""
    try:
        literal = ipaddress.ip_address(value)
    except ValueError:
        name = value.lower()
        if not _HOST.fullmatch(name) or _NUMBER.fullmatch(name.rpartition(".")[2]):
            violations.append(Violation(field, "is neither a host name nor an IP address"))
        return name
    if literal.is_unspecified or literal.is_multicast or "%" in value:
        violations.append(Violation(field, "is no address that can be connected to"))
    return str(literal)
