"""When the tracer dials itself, the address that is dialled is judged at that moment, whatever a name once meant.

There is no DNS server here that could lie, so the sessions below are asked for `localhost` directly, past the check
of names: libcurl knows its addresses by itself.
"""

import ipaddress
from collections.abc import AsyncIterator

import pytest

from libs.common.target_policy.policy import TargetPolicy
from services.tracer.fetch.driver import Driver
from services.tracer.fetch.session import Fetcher
from services.tracer.follow import urls
from services.tracer.model.exchange import BodyUse, Exchange, Headers
from services.tracer.model.report import Blame, StopReason
from services.tracer.model.request import Policy
from tests.integration.tracer.rig import LOOPBACK, TRUST
from tests.support.origin import Origin, Request, Wire, page


async def landing(_request: Request, _wire: Wire) -> bytes:
    return page("landed")


def read(_status: int, _headers: Headers) -> BodyUse:
    return BodyUse.READ


@pytest.fixture
async def driver() -> AsyncIterator[Driver]:
    async with Driver() as running:
        yield running


async def fetch(driver: Driver, targets: TargetPolicy, url: str) -> Exchange:
    parsed = urls.parse(url)
    assert parsed is not None
    with Fetcher(driver, targets, TRUST).session(None, Policy()) as session:
        return await session.fetch(parsed, referrer="", timeout=5, body_limit=1000, plan=read)


async def test_a_name_that_leads_to_a_private_address_is_refused_when_it_is_dialled(driver: Driver) -> None:
    async with Origin(landing) as origin:
        exchange = await fetch(driver, TargetPolicy(), f"http://localhost:{origin.port}/")
        assert origin.connections == 0
    assert exchange.failure is not None
    assert exchange.failure.stop is StopReason.REFUSED_TARGET
    assert exchange.failure.blame is Blame.TARGET
    assert not exchange.request_left


async def test_of_several_addresses_only_those_that_may_be_are_dialled(driver: Driver) -> None:
    """`localhost` has ::1 and 127.0.0.1; the first is refused, the second is reached."""
    async with Origin(landing) as origin:
        targets = TargetPolicy(allowed_networks=[LOOPBACK])
        exchange = await fetch(driver, targets, f"http://localhost:{origin.port}/")
        assert origin.connections == 1
    assert exchange.failure is None
    assert exchange.remote_address.startswith("127.0.0.1:")


async def test_an_allowed_name_may_lead_anywhere(driver: Driver) -> None:
    async with Origin(landing) as origin:
        exchange = await fetch(driver, TargetPolicy(allowed_hosts=["localhost"]), f"http://localhost:{origin.port}/")
    assert exchange.failure is None


async def test_the_policy_for_addresses_holds_for_literals_too(driver: Driver) -> None:
    async with Origin(landing) as origin:
        allowed_elsewhere = TargetPolicy(allowed_networks=[ipaddress.ip_network("127.1.0.0/16")])
        exchange = await fetch(driver, allowed_elsewhere, f"http://127.0.0.1:{origin.port}/")
        assert origin.connections == 0
    assert exchange.failure is not None
    assert exchange.failure.reason == "SPECIAL_ADDRESS"


async def test_a_name_without_an_address_is_a_typed_error(driver: Driver) -> None:
    exchange = await fetch(driver, TargetPolicy(), "http://no-such-name.invalid/")
    assert exchange.failure is not None
    assert (exchange.failure.stop, exchange.failure.reason) == (StopReason.CONNECTION_ERROR, "NAME_UNRESOLVED")


async def test_a_port_nobody_listens_on_is_a_typed_error(driver: Driver) -> None:
    async with Origin(landing) as origin:
        port = origin.port
    exchange = await fetch(driver, TargetPolicy(allowed_networks=[LOOPBACK]), f"http://127.0.0.1:{port}/")
    assert exchange.failure is not None
    assert (exchange.failure.stop, exchange.failure.reason) == (StopReason.CONNECTION_ERROR, "CONNECTION_FAILED")
    assert not exchange.request_left
