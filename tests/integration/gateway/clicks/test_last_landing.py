"""The last landing of an offer serves as its fallback, without what belongs to one visitor."""

import asyncio

from clicktrace.gateway.v1 import gateway_pb2 as pb
from tests.integration.gateway.world import CHAIN, lands_on, world


async def test_the_last_landing_serves_as_fallback_without_what_belongs_to_one_visitor(database: str) -> None:
    async with world(database, gateways=1) as w:
        await w.offer(fallback_policy=pb.LAST_LANDING)
        landing = "http://shop.example/sale?shop=7&clickid={}#top"
        w.tracer.script = lands_on(landing.format("a"))
        await w.click("offer=demo&gclid=1")
        free, w.pool.free = w.pool.free, []
        # One landing alone does not tell what of it belongs to its visitor.
        assert (await w.click("offer=demo&gclid=2")).location == f"{CHAIN}&gclid=2"
        w.pool.free = free
        w.tracer.script = lands_on(landing.format("b"))
        await w.click("offer=demo&gclid=3")
        w.pool.free = []
        reply = await w.click("offer=demo&gclid=4")
        assert reply.location == "http://shop.example/sale?shop=7&gclid=4#top"
        assert (await w.record(reply.click_id)).answer == pb.FALLBACK
    # A gateway that starts anew knows it from the log.
    async with world(database) as w:
        w.pool.free = []
        assert (await w.click("offer=demo&gclid=5")).location == "http://shop.example/sale?shop=7&gclid=5#top"
        await w.offers.UpdateOffer(
            pb.UpdateOfferRequest(offer=pb.Offer(name="demo", landing_hosts=["elsewhere.example"]))
        )
        assert (await w.click("offer=demo&gclid=6")).location == f"{CHAIN}&gclid=6"


async def test_a_gateway_learns_where_the_chains_of_others_have_landed(database: str) -> None:
    async with world(database, gateways=2, landings_every=0.02) as w:
        await w.offer(fallback_policy=pb.LAST_LANDING)
        for number in (1, 2):
            w.tracer.script = lands_on(f"http://shop.example/sale?shop=7&clickid={number}")
            assert (await w.click(f"offer=demo&gclid={number}")).status == 302
        w.pool.free = []
        async with asyncio.timeout(20):
            number = 3
            while (await w.click(f"offer=demo&gclid={number}", at=w.others[0])).location != (
                f"http://shop.example/sale?shop=7&gclid={number}"
            ):
                number += 1
