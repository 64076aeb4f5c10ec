"""What a gateway tells Prometheus of its clicks."""

import asyncio
import re

import aiohttp
import asyncpg
import pytest
from prometheus_client import REGISTRY
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from clicktrace.gateway.v1 import gateway_pb2 as pb
from clicktrace.tracer.v1 import tracer_pb2
from services.gateway.main import Ports
from tests.integration.gateway.world import broke, hop, in_turn, lands_on, says, waits_for, world

OPEN_METRICS = {"Accept": "application/openmetrics-text; version=1.0.0"}


class Change:
    """How much a sample has grown since a moment."""

    def __init__(self) -> None:
        self._before = self._samples()

    @staticmethod
    def _samples() -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in REGISTRY.collect()
            for sample in family.samples
        }

    def of(self, name: str, **labels: str) -> float:
        key = (name, tuple(sorted(labels.items())))
        return self._samples().get(key, 0.0) - self._before.get(key, 0.0)


async def scrape(ports: Ports, accept: dict[str, str] | None = None) -> tuple[str, str]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{ports.internal}/metrics", headers=accept or {}) as response,
    ):
        assert response.status == 200
        return await response.text(), response.headers["Content-Type"]


async def test_a_landing_is_counted_with_what_the_visitor_waited_and_what_we_added(database: str) -> None:
    async with world(database) as w:
        await w.offer("counted")
        change = Change()
        await w.click("offer=counted&gclid=g1")
        assert change.of("clicktrace_gateway_clicks_total", offer="counted", answer="LANDING") == 1
        assert change.of("clicktrace_gateway_visitor_seconds_count", answer="LANDING") == 1
        assert change.of("clicktrace_gateway_added_seconds_count") == 1
        assert change.of("clicktrace_gateway_lease_wait_seconds_count") == 1
        assert change.of("clicktrace_gateway_traces_total", offer="counted", result="LANDED") == 1
        assert change.of("clicktrace_gateway_trace_seconds_count", offer="counted") == 1
        waited = change.of("clicktrace_gateway_visitor_seconds_sum", answer="LANDING")
        assert change.of("clicktrace_gateway_added_seconds_sum") <= max(0.0, waited - 0.02) + 1e-9


async def test_an_ip_that_failed_is_time_added_by_us(database: str) -> None:
    async with world(database) as w:
        await w.offer("retried")
        gate = asyncio.Event()
        refused = broke("PROXY_REFUSED", blame=tracer_pb2.Failure.PROXY, reached=False)
        first = says(hop(0, "http://t.example/", error="PROXY_REFUSED"), refused)
        w.tracer.script = in_turn(first, waits_for(gate, lands_on("http://shop.example/l")))
        change = Change()
        click = asyncio.create_task(w.click("offer=retried&gclid=g1"))
        async with asyncio.timeout(10):
            while len(w.tracer.requests) < 2:
                await asyncio.sleep(0.005)
        # Longer than what the hops say they took.
        await asyncio.sleep(0.05)
        gate.set()
        await click
        waited = change.of("clicktrace_gateway_visitor_seconds_sum", answer="LANDING")
        # Three hops of the IP that worked say 10 ms each; the one of the IP that failed is no part of the chain.
        assert change.of("clicktrace_gateway_added_seconds_sum") == pytest.approx(waited - 0.03, abs=1e-6)


async def test_a_fallback_is_counted_with_its_reason_and_what_it_lost(database: str) -> None:
    async with world(database) as w:
        await w.offer("slow", max_wait={"seconds": 1})
        gate = asyncio.Event()
        w.tracer.script = waits_for(gate, lands_on("http://shop.example/l?clickid=c1&sub=2&gclid=g1"))
        change = Change()
        reply = await w.click("offer=slow&gclid=g1")
        assert change.of("clicktrace_gateway_fallbacks_total", offer="slow", reason="MAX_WAIT") == 1
        assert change.of("clicktrace_gateway_parameters_lost_total", offer="slow") == 0
        gate.set()
        await w.record_when(reply.click_id, lambda click: click.HasField("end_time"))
        # clickid and sub; the visitor has gclid.
        assert change.of("clicktrace_gateway_parameters_lost_total", offer="slow") == 2


async def test_a_broken_chain_is_counted_by_its_reason(database: str) -> None:
    async with world(database) as w:
        await w.offer("broken")
        w.tracer.script = says(hop(0, "http://t.example/", error="CONNECTION_RESET"), broke("CONNECTION_RESET"))
        change = Change()
        await w.click("offer=broken")
        assert change.of("clicktrace_gateway_traces_total", offer="broken", result="CONNECTION_RESET") == 1
        assert change.of("clicktrace_gateway_fallbacks_total", offer="broken", reason="CONNECTION_RESET") == 1


async def test_a_joined_click_has_no_trace_of_its_own(database: str) -> None:
    async with world(database) as w:
        await w.offer("twice")
        change = Change()
        await w.click("offer=twice&gclid=g1")
        await w.click("offer=twice&gclid=g1")
        assert change.of("clicktrace_gateway_clicks_total", offer="twice", answer="LANDING") == 2
        assert change.of("clicktrace_gateway_traces_total", offer="twice", result="LANDED") == 1
        assert change.of("clicktrace_gateway_joined_total") == 1


async def test_strangers_create_no_series(database: str) -> None:
    async with world(database) as w:
        await w.click("offer=first")
        before, _ = await scrape(w.ports)
        change = Change()
        for number in range(20):
            await w.click(f"offer=invented-{number}&gclid={number}")
            await w.click(f"offer=%0{number}")
        after, _ = await scrape(w.ports)
        assert "invented" not in after
        assert change.of("clicktrace_gateway_refused_total", reason="UNKNOWN_OFFER") == 20
        assert change.of("clicktrace_gateway_refused_total", reason="INVALID_REQUEST") == 20
        names = [re.findall(r"^(clicktrace_[^ ]+) ", text, re.MULTILINE) for text in (before, after)]
        assert set(names[1]) - set(names[0]) <= {'clicktrace_gateway_refused_total{reason="INVALID_REQUEST"}'}


async def test_both_formats_are_spoken_on_the_internal_port(database: str) -> None:
    async with world(database) as w:
        await w.offer("spoken")
        await w.click("offer=spoken")
        text, kind = await scrape(w.ports)
        assert kind.startswith("text/plain")
        assert 'clicktrace_gateway_clicks_total{answer="LANDING",offer="spoken"} 1.0' in text
        opened, kind = await scrape(w.ports, OPEN_METRICS)
        parsed = text_string_to_metric_families(opened)  # type: ignore[no-untyped-call]
        assert kind.startswith("application/openmetrics-text")
        families = {family.name: family for family in parsed}
        depths = {sample.labels["queue"]: sample.value for sample in families["clicktrace_queue_depth"].samples}
        assert depths == {"record.group": 0, "join.group": 0, "keep.group": 0, "lease.group": 0, "release.group": 0}
        groups = {sample.labels["group"] for sample in families["clicktrace_group_size"].samples}
        assert depths.keys() <= groups


async def test_a_visitor_who_leaves_is_counted_and_so_is_the_trace(database: str) -> None:
    async with world(database) as w:
        await w.offer("left")
        gate = asyncio.Event()
        w.tracer.script = waits_for(gate, lands_on("http://shop.example/l?clickid=c1"))
        change = Change()
        _reader, writer = await asyncio.open_connection("127.0.0.1", w.ports.public)
        writer.write(b"GET /track-hit?offer=left&gclid=1 HTTP/1.1\r\nHost: click.example\r\n\r\n")
        async with asyncio.timeout(10):
            while not w.tracer.requests:
                await asyncio.sleep(0.005)
            writer.transport.abort()
            while not change.of("clicktrace_gateway_visitors_left_total", offer="left"):
                await asyncio.sleep(0.005)
            gate.set()
            while not change.of("clicktrace_gateway_traces_total", offer="left", result="LANDED"):
                await asyncio.sleep(0.005)
        assert change.of("clicktrace_gateway_clicks_total", offer="left", answer="LANDING") == 0
        assert change.of("clicktrace_gateway_visitors_left_total", offer="left") == 1


async def test_an_offer_that_cannot_be_read_is_told_until_it_is_mended(database: str) -> None:
    async with world(database) as w:
        for name in ("good", "bad"):
            await w.offer(name)
        connection = await asyncpg.connect(database)
        await connection.execute(
            "UPDATE clicks.offers SET document = document || '{\"mode\": \"SHADOW\"}' WHERE name = 'bad'"
        )
        await connection.close()

        async def told() -> tuple[bool, bool]:
            text, _ = await scrape(w.ports)
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"http://127.0.0.1:{w.ports.internal}/console") as response,
            ):
                return "clicktrace_gateway_offers_unreadable 1.0" in text, "SHADOW" in await response.text()

        async with asyncio.timeout(30):
            while await told() != (True, True):
                await asyncio.sleep(0.05)
        await w.offers.UpdateOffer(pb.UpdateOfferRequest(offer=pb.Offer(name="bad", mode=pb.TRACE)))
        async with asyncio.timeout(30):
            while await told() != (False, False):
                await asyncio.sleep(0.05)
