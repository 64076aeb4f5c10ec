"""Free ports are different ones, and such that nobody gets in passing."""

import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from local.ports import free_ports


def test_they_are_free_and_different() -> None:
    ports = free_ports(20)
    assert len(set(ports)) == 20
    with ExitStack() as stack:
        for port in ports:
            stack.enter_context(socket.create_server(("127.0.0.1", port)))


def test_no_outgoing_connection_is_given_one() -> None:
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert max(free_ports(100)) < first


def test_a_port_that_somebody_has_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    taken, free = free_ports(2)
    drawn = iter((taken, free))
    monkeypatch.setattr("local.ports.random.randint", lambda _first, _last: next(drawn))
    with socket.create_server(("127.0.0.1", taken)):
        assert free_ports(1) == [free]
