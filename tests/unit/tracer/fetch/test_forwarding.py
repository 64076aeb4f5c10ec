"""What is remembered of providers that open no tunnels, and when it is forgotten."""

from services.tracer.fetch.forwarding import ForwardingMemory
from services.tracer.model.request import Proxy

ONE = Proxy("192.0.2.1", 8080, provider="luna")
SAME = Proxy("192.0.2.2", 8080, provider="luna")
ALONE = Proxy("192.0.2.1", 8080)


def test_it_holds_for_the_provider_and_the_port() -> None:
    memory = ForwardingMemory(lambda: 0.0)
    memory.forwarded(ONE, 80)
    assert memory.forwards(SAME, 80)
    assert not memory.forwards(SAME, 8080)
    assert not memory.forwards(ALONE, 80)


def test_a_proxy_without_a_provider_stands_for_itself() -> None:
    memory = ForwardingMemory(lambda: 0.0)
    memory.forwarded(ALONE, 80)
    assert memory.forwards(ALONE, 80)
    assert not memory.forwards(Proxy("192.0.2.2", 8080), 80)


def test_one_tunnel_is_enough_to_always_try_one_first() -> None:
    memory = ForwardingMemory(lambda: 0.0)
    memory.forwarded(ONE, 80)
    memory.tunnelled(SAME, 80)
    assert not memory.forwards(ONE, 80)
    memory.forwarded(ONE, 80)
    assert not memory.forwards(ONE, 80)


def test_after_ten_minutes_a_tunnel_is_tried_again() -> None:
    now = 0.0
    memory = ForwardingMemory(lambda: now)
    memory.forwarded(ONE, 80)
    now = 599.0
    assert memory.forwards(ONE, 80)
    now = 600.0
    assert not memory.forwards(ONE, 80)


def test_it_is_bounded() -> None:
    memory = ForwardingMemory(lambda: 0.0)
    for number in range(10_001):
        memory.forwarded(Proxy("192.0.2.1", 8080, provider=f"p{number}"), 80)
    assert not memory.forwards(Proxy("192.0.2.1", 8080, provider="p0"), 80)
    assert memory.forwards(Proxy("192.0.2.1", 8080, provider="p10000"), 80)
