"""The visitor's address comes from proxies that are trusted, and never from the visitor."""

import ipaddress

import pytest

from services.gateway.http.forwarded import visitor_address

TRUSTED = [ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("2001:db8::/32")]


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("192.0.2.1", [], "192.0.2.1"),
        ("192.0.2.1", ["127.0.0.1"], "192.0.2.1"),
        ("10.0.0.1", ["192.0.2.7"], "192.0.2.7"),
        ("10.0.0.1", ["127.0.0.1, 192.0.2.7"], "192.0.2.7"),
        ("10.0.0.1", ["1.2.3.4", "192.0.2.7, 10.1.1.1"], "192.0.2.7"),
        ("10.0.0.1", ["192.0.2.7, nonsense"], "10.0.0.1"),
        ("10.0.0.1", ["192.0.2.7:4711"], "192.0.2.7"),
        ("10.0.0.1", ["[2001:db9::1]:4711"], "2001:db9::1"),
        ("2001:db8::1", ["::ffff:192.0.2.7"], "192.0.2.7"),
        ("10.0.0.1", ["10.0.0.2, 10.0.0.3"], "10.0.0.2"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("10.0.0.1", ["10.0.0.9," * 100_000 + "10.0.0.2"], "10.0.0.9"),
    ],
)
def test_the_list_is_read_from_its_end_as_far_as_it_is_trusted(peer: str, forwarded: list[str], address: str) -> None:
    assert visitor_address(peer, forwarded, TRUSTED) == address


def test_without_trusted_proxies_the_peer_is_the_visitor() -> None:
    assert visitor_address("192.0.2.1", ["198.51.100.1"], []) == "192.0.2.1"


@pytest.mark.parametrize(
    ("hops", "forwarded", "address"),
    [
        (0, ["198.51.100.1"], "192.0.2.1"),
        (1, ["203.0.113.9, 198.51.100.1"], "198.51.100.1"),
        (2, ["203.0.113.9, 198.51.100.1"], "203.0.113.9"),
        (2, ["203.0.113.9", "198.51.100.1, 10.0.0.1"], "198.51.100.1"),
        (1, ["203.0.113.9, 10.0.0.1"], "203.0.113.9"),
        (5, ["198.51.100.1"], "198.51.100.1"),
        (2, ["nonsense, 198.51.100.1"], "198.51.100.1"),
    ],
)
def test_so_many_proxies_in_front_are_believed_whatever_their_addresses(
    hops: int, forwarded: list[str], address: str
) -> None:
    assert visitor_address("192.0.2.1", forwarded, TRUSTED, hops) == address
