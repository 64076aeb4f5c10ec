"""Every row of location_resolution, sent by a raw origin and followed through the served tracer.

The origin answers the first request with the row's `Location`, and every later one with a page; a scripted proxy leads
every name and address to it. What is checked is what was reported and what was then really asked for: the host and the
request target, byte for byte.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
import pytest_asyncio

from clicktrace.common.v1 import common_pb2
from clicktrace.tracer.v1 import tracer_pb2 as pb
from tests.integration.tracer import outside
from tests.integration.tracer.outside import Row
from tests.integration.tracer.rig import Client, Walked, http_proxy, server_tls, serving
from tests.support.origin import Origin, Request, Wire, page, redirect
from tests.support.scripted_proxy import ForwardProxy

pytestmark = [outside.needed, pytest.mark.asyncio(loop_scope="module")]

# Hosts that the URL standard lets be and that no resolver could know; libcurl refuses to send them anywhere.
NO_NAMES = frozenset({"https://xn--ls8h=/x", "http://foo.09../"})

# The source computed these request targets with an API that hides an empty query; browsers send its question mark.
EMPTY_QUERIES = {"wpt-url-0705": "/test?", "wpt-url-0794": "/?", "curl-uset-046": "/path?"}


@dataclass
class World:
    """An origin, reachable under every name, that redirects once."""

    client: Client
    location: bytes = b""
    asked: list[tuple[str, str]] = field(default_factory=list)
    proxy: common_pb2.Proxy = field(default_factory=common_pb2.Proxy)

    async def respond(self, request: Request, _wire: Wire) -> bytes:
        self.asked.append((request.header("host") or "", request.path))
        return redirect(self.location) if len(self.asked) == 1 else page("landed")

    async def follow(self, base_url: str, location: bytes) -> Walked:
        self.location = location
        self.asked.clear()
        return await self.client.trace(base_url, self.proxy, policy=pb.Policy(allow_insecure_tls=True))


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def world() -> AsyncIterator[World]:
    async with serving() as rig:
        made = World(rig.client)
        async with (
            Origin(made.respond) as plain,
            Origin(made.respond, tls=server_tls()) as secure,
            ForwardProxy(plain, secure) as proxy,
        ):
            made.proxy = http_proxy(proxy.port)
            yield made


def _stop_of(expected: str, target: str) -> set[str]:
    """Returns the stops that fit an expected one; where a scheme opens an app, we say so instead (DESIGN 6.5)."""
    if expected == "invalid_location":
        return {"INVALID_LOCATION"}
    return (
        {"UNSUPPORTED_SCHEME", "APP_LINK"}
        if target.startswith(("intent:", "android-app:", "tel:"))
        else {"UNSUPPORTED_SCHEME"}
    )


def _sendable(row: Row) -> bool:
    """Says whether a header can carry the value at all: no line ends, NUL or bare control characters around it."""
    return row["wire"] not in {"no", "empty"}


@pytest.mark.parametrize("row", [p for p in outside.params("location_resolution") if _sendable(p.values[0])])
async def test_location(world: World, row: Row) -> None:
    walked = await world.follow(row["base_url"], outside.location_bytes(row))
    first = walked.hops[0]
    if row.get("expected_stop"):
        assert walked.stop in _stop_of(row["expected_stop"], row.get("resolved", ""))
        assert len(world.asked) == 1
        if row.get("resolved"):
            assert walked.result.final_url == first.next_url == row["resolved"]
        return
    accepted = {row["expected_next_url"], *row.get("accept", ())}
    reported = first.next_url
    if row.get("base_has_fragment") and reported not in accepted:
        # A redirect without a fragment of its own carries on the one of the URL that redirected (RFC 9110 10.2.2).
        reported = reported.partition("#")[0]
    assert reported in accepted
    if row["expected_next_url"] in NO_NAMES:
        assert (walked.stop, walked.reason) == ("CONNECTION_ERROR", "NAME_UNRESOLVED")
        return
    target = EMPTY_QUERIES.get(row["id"], row["expected_request_target"])
    assert walked.stop == "LANDING"
    assert world.asked[1] == (row["expected_host_header"], target)


@pytest.mark.parametrize("row", [p for p in outside.params("location_resolution") if p.values[0]["wire"] == "empty"])
async def test_an_empty_location_is_final_and_not_the_same_url_again(world: World, row: Row) -> None:
    """Differs from the URL standard, which resolves it to the base; Fetch rejects it and curl stops (DESIGN 6.2)."""
    walked = await world.follow(row["base_url"], b"  ")
    assert walked.stop == "LANDING"
    assert walked.hops[0].status == 302
    assert len(world.asked) == 1


@pytest.mark.parametrize("row", [p for p in outside.params("location_resolution") if p.values[0]["wire"] == "no"])
async def test_a_location_that_no_header_can_carry_raises_nothing(world: World, row: Row) -> None:
    """A NUL is refused as malformed; a bare line end begins another header, as it does for every client."""
    walked = await world.follow(row["base_url"], outside.location_bytes(row))
    assert walked.stop not in {"INTERNAL", "STOP_REASON_UNSPECIFIED"}
