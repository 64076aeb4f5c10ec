"""Nothing but the public internet is let through, however an address is spelled, unless the operator says so."""

import ipaddress

import ada_url
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.target_policy.policy import TargetPolicy

POLICY = TargetPolicy()


def reason(text: str, policy: TargetPolicy = POLICY) -> str | None:
    refusal = policy.refusal(ada_url.URL(text).hostname)
    return refusal.reason if refusal else None


# The IANA special-purpose registries and what carries an IPv4 address inside an IPv6 one.
SPECIAL = [
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
    "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24",
    "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4", "168.63.129.16/32", "::/128",
    "::1/128", "::/96", "::ffff:10.0.0.0/104", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64",
    "2001::/32", "2001:2::/48", "2001:10::/28", "2001:20::/28", "2001:db8::/32", "2002::/16", "3fff::/20",
    "5f00::/16", "fc00::/7", "fd00:ec2::254/128", "fe80::/10", "fec0::/10", "ff00::/8", "4000::/3",
]  # fmt: skip


def literal(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    return f"[{address}]" if address.version == 6 else str(address)


@pytest.mark.parametrize("text", SPECIAL)
def test_the_first_and_last_address_of_every_special_range(text: str) -> None:
    network = ipaddress.ip_network(text)
    for address in (network[0], network[-1]):
        assert reason(f"http://{literal(address)}/") == "SPECIAL_ADDRESS"
        assert POLICY.address_refusal(address) is not None


@pytest.mark.parametrize(
    "text",
    ["1.1.1.1", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "172.15.255.255", "172.32.0.0",
     "192.0.1.0", "198.17.255.255", "198.20.0.0", "223.255.255.255", "93.184.216.34",
     "2606:4700::1111", "2a00:1450::1", "2400::1", "::ffff:8.8.8.8"],
)  # fmt: skip
def test_public_addresses_pass(text: str) -> None:
    assert reason(f"http://{literal(ipaddress.ip_address(text))}/") is None


@given(st.ip_addresses(v=4))
def test_no_spelling_of_an_address_makes_a_difference(address: ipaddress.IPv4Address) -> None:
    number = int(address)
    a, b, c, d = address.packed
    expected = reason(f"http://{address}/")
    for spelling in (
        str(number),
        hex(number),
        f"0{number:o}",
        f"{a}.{b}.{c * 256 + d}",
        f"{a}.{number & 0xFFFFFF}",
        f"0x{a:x}.0{b:o}.{c}.{d}",
        f"{a}.{b}.{c}.{d}.",
        f"{a}%2e{b}。{c}.{d}",
        f"[::ffff:{address}]",
        f"user:pw@{address}",
    ):
        assert reason(f"http://{spelling}/") == expected, spelling


@given(st.ip_addresses(v=4))
def test_an_address_inside_another_never_passes(address: ipaddress.IPv4Address) -> None:
    high, low = int(address) >> 16, int(address) & 0xFFFF
    for literal_text in (
        f"64:ff9b::{address}",
        f"2002:{high:x}:{low:x}::1",
        f"::{address}",
        f"2001:0:{high:x}:{low:x}::",
    ):
        assert reason(f"http://[{literal_text}]/") == "SPECIAL_ADDRESS"


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST.", "a.localhost", "x.local", "metadata.google.internal", "kubernetes.default.svc",
     "kubernetes.default.svc.cluster.local", "pool.demo.svc.k8s.example", "postgres", "router.lan", "nas.home.arpa",
     "a.localdomain"],
)  # fmt: skip
def test_names_that_are_not_public(host: str) -> None:
    assert reason(f"http://{host}/") == "LOCAL_NAME"


@pytest.mark.parametrize(
    "host", ["example.com", "a.test", "localhost.example.com", "internal.example.com", "xlocal.com", "svc.example.com"]
)
def test_names_that_are_public(host: str) -> None:
    assert reason(f"http://{host}/") is None


def test_what_the_operator_allows_and_nothing_else() -> None:
    policy = TargetPolicy(
        allowed_networks=[ipaddress.ip_network("127.77.0.0/16"), ipaddress.ip_network("fd00:1::/32")],
        allowed_hosts=[".demo.localhost", "Pool."],
    )
    assert reason("http://127.77.3.4/", policy) is None
    assert reason("http://[::ffff:127.77.3.4]/", policy) is None
    assert reason("http://127.78.0.1/", policy) == "SPECIAL_ADDRESS"
    assert reason("http://[fd00:1::1]/", policy) is None
    assert reason("http://[fd00:2::1]/", policy) == "SPECIAL_ADDRESS"
    assert reason("http://a.demo.localhost/", policy) is None
    assert reason("http://A.B.DEMO.localhost./", policy) is None
    assert reason("http://demo.localhost/", policy) == "LOCAL_NAME"
    assert reason("http://xdemo.localhost/", policy) == "LOCAL_NAME"
    assert reason("http://pool/", policy) is None
    assert reason("http://a.localhost/", TargetPolicy(allowed_hosts=["*"])) is None


def test_an_allowed_name_may_lead_to_any_address_and_others_to_public_ones_only() -> None:
    policy = TargetPolicy(allowed_hosts=[".localhost"])
    private, public = ipaddress.ip_address("10.0.0.1"), ipaddress.ip_address("8.8.8.8")
    assert policy.dialled_refusal("a.localhost", private) is None
    assert policy.dialled_refusal("a.example.com", private) is not None
    assert policy.dialled_refusal("a.example.com", public) is None


def test_our_own_hosts_are_refused_even_when_everything_is_allowed() -> None:
    policy = TargetPolicy(allowed_hosts=["*"], own_hosts=["click.example.com", ".ours.example"])
    assert reason("https://CLICK.example.com./track-hit?offer=x", policy) == "OWN_HOST"
    assert reason("https://a.ours.example/", policy) == "OWN_HOST"
    assert reason("https://other.example.com/", policy) is None
