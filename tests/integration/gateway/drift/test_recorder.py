"""How offers fare and whether their chains have changed, learned from clicks over HTTP and told over gRPC."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import asyncpg
import pytest
from grpc import aio
from prometheus_client import REGISTRY

from clicktrace.gateway.v1 import gateway_pb2 as pb
from clicktrace.tracer.v1 import tracer_pb2
from services.gateway.db.offer_health import OfferHealthTable
from services.gateway.drift.recorder import HealthRecorder
from services.gateway.drift.shape import LEARNED_FROM, DriftKind
from services.gateway.drift.stats import Activity
from services.gateway.metrics import DriftMetrics
from tests.integration.gateway.world import Script, World, broke, hop, in_turn, lands_on, says, world

SOON: dict[str, Any] = {"health_every": "50ms"}


async def health(w: World, accept: Callable[[pb.OfferHealth], bool], offer: str = "demo") -> pb.OfferHealth:
    """Asks until the health of an offer is as wanted."""
    async with asyncio.timeout(10):
        while True:
            told = (await w.clicks.ListOfferHealth(pb.ListOfferHealthRequest(offer=offer))).offers
            if told and accept(told[0]):
                return told[0]
            await asyncio.sleep(0.01)


async def learn(w: World, chains: int = LEARNED_FROM) -> None:
    for number in range(chains):
        await w.click(f"offer=demo&gclid=g{number}")
    await health(w, lambda told: told.shape.chains >= chains)


def gauge(offer: str, kind: str) -> float | None:
    return REGISTRY.get_sample_value("clicktrace_gateway_offer_drifts", {"offer": offer, "kind": kind})


async def test_what_is_usual_is_learned_from_clicks(database: str) -> None:
    async with world(database, **SOON) as w:
        await w.offer("demo")
        w.tracer.script = lands_on("http://shop.example/l/7?clickid=c1&gclid=passed")
        await learn(w, 3)
        told = await health(w, lambda told: told.clicks == 3 and told.traces == 3)
        assert (told.offer, told.fallbacks, told.fallback_share) == ("demo", 0, 0)
        assert told.period.seconds == 3_600
        assert [part.name for part in told.shape.hops] == ["track.example LOCATION"]
        assert [(part.name, part.share) for part in told.shape.landing_hosts] == [("shop.example", 1.0)]
        assert [part.name for part in told.shape.params] == ["clickid"]
        assert told.last_landing_url == "http://shop.example/l/7"
        assert told.last_landing_time.seconds > 0
        times = [told.trace_time_p50, told.trace_time_p90, told.trace_time_p99]
        assert 0 < times[0].ToNanoseconds() <= times[1].ToNanoseconds() <= times[2].ToNanoseconds()
        assert not told.drifts


@pytest.mark.parametrize(
    ("script", "kind", "subject"),
    [
        (lands_on("http://parked.example/?clickid=c1"), pb.ChainDrift.NEW_LANDING_HOST, "parked.example"),
        (lands_on("http://shop.example/l?other=1"), pb.ChainDrift.LOST_PARAMETER, "clickid"),
        (
            says(hop(0, "http://track.example/c", error="CONNECTION_RESET"), broke("CONNECTION_RESET")),
            pb.ChainDrift.BROKEN_HOP,
            "track.example",
        ),
    ],
    ids=["new landing host", "lost parameter", "broken hop"],
)
async def test_drift_is_told_counted_and_shown(
    database: str, script: Script, kind: "pb.ChainDrift.Kind", subject: str
) -> None:
    async with world(database, **SOON) as w:
        await w.offer("demo")
        await learn(w)
        name = pb.ChainDrift.Kind.Name(kind)
        labels = {"offer": "demo", "kind": name}
        before = REGISTRY.get_sample_value("clicktrace_gateway_drifted_chains_total", labels) or 0.0
        w.tracer.script = script
        await w.click("offer=demo&gclid=new")
        told = await health(w, lambda told: bool(told.drifts))
        assert [(drift.kind, drift.subject, drift.chains) for drift in told.drifts] == [(kind, subject, 1)]
        assert told.drifts[0].first_time == told.drifts[0].last_time
        async with asyncio.timeout(5):
            while gauge("demo", name) != 1:
                await asyncio.sleep(0.01)
        assert REGISTRY.get_sample_value("clicktrace_gateway_drifted_chains_total", labels) == before + 1
        request = pb.ListOfferHealthRequest(drifting=True)
        assert [told.offer for told in (await w.clicks.ListOfferHealth(request)).offers] == ["demo"]


async def test_all_gateways_learn_one_shape_and_a_restart_forgets_nothing(database: str) -> None:
    async with world(database, gateways=2, **SOON) as w:
        await w.offer("demo")
        for number in range(LEARNED_FROM):
            await w.click(f"offer=demo&gclid=g{number}", at=w.others[0] if number % 2 else w.ports)
        await health(w, lambda told: told.shape.chains == LEARNED_FROM and told.clicks == LEARNED_FROM)
    async with world(database, **SOON) as w:
        w.tracer.script = lands_on("http://parked.example/")
        await w.click("offer=demo&gclid=new")
        # The chain is noted before the answer, so the two may come into the database one after the other.
        told = await health(w, lambda told: bool(told.drifts) and told.clicks == LEARNED_FROM + 1)
        assert told.drifts[0].subject == "parked.example"


async def test_what_was_noted_is_kept_at_a_stop(database: str) -> None:
    async with world(database, health_every="1h") as w:
        await w.offer("demo")
        await w.click("offer=demo&gclid=g1")
    async with world(database, **SOON) as w:
        told = await health(w, lambda told: told.clicks == 1)
        assert told.shape.chains == 1


async def test_fallbacks_have_their_share_and_previews_are_no_clicks(database: str) -> None:
    async with world(database, **SOON) as w:
        await w.offer("demo")
        await w.click("offer=demo&gclid=g1")
        w.pool.free.clear()
        await w.click("offer=demo&gclid=g2")
        await w.click("offer=demo&gclid=g3", method="HEAD")
        await w.click("offer=demo&gclid=g4", "Purpose: prefetch")
        told = await health(w, lambda told: told.clicks == 2)
        assert (told.fallbacks, told.fallback_share) == (1, 0.5)


async def test_a_click_that_shares_a_trace_is_a_click_but_no_chain(database: str) -> None:
    async with world(database, **SOON) as w:
        await w.offer("demo")
        for _ in range(3):
            await w.click("offer=demo&gclid=same")
        told = await health(w, lambda told: told.clicks == 3)
        assert (told.traces, told.shape.chains) == (1, 1)


async def test_another_ip_leaves_the_chain_as_it_is(database: str) -> None:
    async with world(database, **SOON) as w:
        await w.offer("demo")
        refused = broke("PROXY_REFUSED", blame=tracer_pb2.Failure.PROXY, reached=False)
        first = says(hop(0, "http://track.example/c", error="PROXY_REFUSED"), refused)
        w.tracer.script = in_turn(first, lands_on("http://shop.example/l"))
        await w.click("offer=demo&gclid=g1")
        told = await health(w, lambda told: told.traces == 1)
        assert [part.name for part in told.shape.hops] == ["track.example LOCATION"]
        assert [part.name for part in told.shape.landing_hosts] == ["shop.example"]


async def test_an_offer_that_is_not_to_be_traced_has_no_fallbacks(database: str) -> None:
    async with world(database, **SOON) as w:
        await w.offer("demo", mode=pb.REDIRECT_ONLY)
        await w.click("offer=demo&gclid=g1")
        told = await health(w, lambda told: told.clicks == 1)
        assert told.fallbacks == 0


async def test_failures_of_proxies_are_no_drift(database: str) -> None:
    async with world(database, **SOON) as w:
        await w.offer("demo")
        await learn(w)
        w.tracer.script = says(
            hop(0, "http://track.example/c", error="PROXY_REFUSED"),
            broke("PROXY_REFUSED", blame=tracer_pb2.Failure.PROXY),
        )
        await w.click("offer=demo&gclid=new")
        told = await health(w, lambda told: told.clicks == LEARNED_FROM + 1)
        assert told.fallbacks == 1
        assert not told.drifts


async def test_offers_come_in_pages_and_the_unclicked_too(database: str) -> None:
    async with world(database, **SOON) as w:
        for name in ("a", "b", "c"):
            await w.offer(name)
        page = await w.clicks.ListOfferHealth(pb.ListOfferHealthRequest(page_size=2))
        assert [told.offer for told in page.offers] == ["a", "b"]
        assert not page.offers[0].HasField("trace_time_p50")
        rest = await w.clicks.ListOfferHealth(pb.ListOfferHealthRequest(page_size=2, page_token=page.next_page_token))
        assert [told.offer for told in rest.offers] == ["c"]
        assert not rest.next_page_token
        with pytest.raises(aio.AioRpcError, match="offer"):
            await w.clicks.ListOfferHealth(pb.ListOfferHealthRequest(offer="\n"))


async def test_the_notes_of_a_deleted_offer_are_forgotten(database: str) -> None:
    async with world(database, health_every="1h") as w:
        await w.offer("demo")
        await w.click("offer=demo&gclid=g1")
        await w.offers.DeleteOffer(pb.DeleteOfferRequest(name="demo"))
    connection = await asyncpg.connect(database)
    assert await connection.fetchval("SELECT count(*) FROM clicks.offer_health") == 0
    await connection.close()


class Flaky(OfferHealthTable):
    """A store that fails while it is told to."""

    def __init__(self) -> None:
        self.down = True
        self.meanwhile: Callable[[], None] = lambda: None
        self.taken: dict[str, Activity] = {}

    async def add_activity(self, fresh: Mapping[str, Activity]) -> Mapping[str, Mapping[DriftKind, int]]:
        if self.down:
            self.meanwhile()
            raise OSError("gone")
        for offer, notes in fresh.items():
            self.taken.setdefault(offer, Activity()).add(notes)
        return {}


async def test_notes_outlive_a_database_that_is_gone() -> None:
    store = Flaky()
    recorder = HealthRecorder(store, DriftMetrics(), every=1.0)
    recorder._activity_of("demo").clicks += 1

    def another_click() -> None:
        recorder._activity_of("demo").clicks += 4

    store.meanwhile = another_click
    with pytest.raises(OSError, match="gone"):
        await recorder.flush()
    recorder._activity_of("demo").clicks += 2
    store.down = False
    await recorder.flush()
    assert store.taken["demo"].clicks == 7
    await recorder.flush()
    assert store.taken["demo"].clicks == 7
