"""Proves that rows are brought into one normal form, and that every violation of every row is found at once."""

import pytest

from libs.common.errors import ClicktraceError
from libs.common.process.values import Address
from services.pool_manager.inventory.provisioning import check_specs
from services.pool_manager.model.proxies import Protocol, ProxySpec

OWN = Address("10.0.0.1", 50051)


def row(
    ip_address: str = "proxy", ip_port: int = 7000, *, country: str = "us", provider: str = "", protocol: str = "HTTP",
    cooldown: float | None = None,
) -> ProxySpec:  # fmt: skip
    return ProxySpec(ip_address, ip_port, Protocol(protocol), provider, country, cooldown)


def violations(*rows: ProxySpec) -> list[str]:
    with pytest.raises(ClicktraceError) as caught:
        check_specs(rows, OWN)
    return [violation.field for violation in caught.value.violations]


def test_a_row_gets_its_normal_form() -> None:
    rows = [
        row("Luna-US-Slot-1", country="US"),
        row("2001:DB8::0:1", protocol="SOCKS5", provider="luna", cooldown=0.0),
        row("127.0.0.1", 65535, cooldown=86_400.0),
    ]
    assert check_specs(rows, OWN) == [
        ProxySpec("luna-us-slot-1", 7000, Protocol.HTTP, "default", "us", None),
        ProxySpec("2001:db8::1", 7000, Protocol.SOCKS5, "luna", "us", 0.0),
        ProxySpec("127.0.0.1", 65535, Protocol.HTTP, "default", "us", 86_400.0),
    ]


@pytest.mark.parametrize(
    "address",
    ["", " ", "a b", "a..b", "-a", "a-", ".a", "a.", "http://a", "a:80", "[::1]", "user@a", "a\r\nHost: b", "1.2.3",
     "256.1.1.1", "1.2.3.4.5", "0x7f000001", "a/b", "ä", "x" * 64, ".".join(["x" * 60] * 5), "0.0.0.0", "::",
     "224.0.0.1", "ff02::1", "fe80::1%eth0", "'", "a\0"],
)  # fmt: skip
def test_what_is_no_address_is_refused(address: str) -> None:
    assert violations(row(address)) == ["proxies[0].ip_address"]


def test_a_row_can_be_wrong_in_every_field() -> None:
    assert violations(row(), row("a b", 0, country="zz", provider="..", protocol="FTP", cooldown=-1.0)) == [
        "proxies[1].ip_address", "proxies[1].ip_port", "proxies[1].country", "proxies[1].provider",
        "proxies[1].protocol", "proxies[1].cooldown",
    ]  # fmt: skip


def test_one_proxy_in_two_spellings_is_a_twin() -> None:
    assert violations(row("proxy"), row("other"), row("PROXY")) == ["proxies[2]"]
    assert violations(row("::1"), row("0:0::1")) == ["proxies[1]"]


def test_this_server_is_no_proxy() -> None:
    assert violations(row("10.0.0.1", 50051)) == ["proxies[0].ip_address"]
    assert len(check_specs([row("10.0.0.1", 50052), row("10.0.0.2", 50051)], OWN)) == 2
    everywhere = Address("0.0.0.0", 50051)
    for own_address in ("127.0.0.1", "::1", "LOCALHOST"):
        with pytest.raises(ClicktraceError):
            check_specs([row(own_address, 50051)], everywhere)
    assert len(check_specs([row("127.0.0.1", 50052), row("10.0.0.2", 50051)], everywhere)) == 2


@pytest.mark.parametrize("count", [0, 10_001])
def test_a_call_has_1_to_10000_rows(count: int) -> None:
    assert violations(*[row(f"proxy-{number}") for number in range(count)]) == ["proxies"]
