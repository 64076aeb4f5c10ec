"""Offers over gRPC: created, changed, listed and deleted, every fault named at once, and seen by clicks at once."""

import asyncio
import json
from typing import Any

import asyncpg
import grpc
import pytest
import structlog
from google.protobuf.field_mask_pb2 import FieldMask
from grpc import aio

from clicktrace.gateway.v1 import gateway_pb2 as pb
from libs.common.errors import ClicktraceError, Code
from libs.common.rpc import status, times
from tests.integration.gateway.world import CHAIN, World, lands_on, waits_for, world


async def error_of(call: object) -> ClicktraceError:
    with pytest.raises(aio.AioRpcError) as caught:
        await call  # type: ignore[misc]
    return status.from_rpc_error(caught.value)


def update(offer: pb.Offer, *paths: str) -> pb.UpdateOfferRequest:
    return pb.UpdateOfferRequest(offer=offer, update_mask=FieldMask(paths=paths) if paths else None)


async def names(w: World, size: int) -> list[list[str]]:
    pages, token = [], ""
    while True:
        page = await w.offers.ListOffers(pb.ListOffersRequest(page_size=size, page_token=token))
        pages.append([offer.name for offer in page.offers])
        token = page.next_page_token
        if not token:
            return pages


async def by_hand(database: str, name: str, fields: dict[str, Any]) -> None:
    """Writes fields of a stored offer past every gateway, as a newer build or a person does."""
    connection = await asyncpg.connect(database)
    await connection.execute(
        "UPDATE clicks.offers SET document = document || $2::jsonb WHERE name = $1", name, json.dumps(fields)
    )
    await connection.close()


async def stored(database: str, name: str) -> dict[str, Any]:
    connection = await asyncpg.connect(database)
    document: dict[str, Any] = json.loads(
        await connection.fetchval("SELECT document FROM clicks.offers WHERE name = $1", name)
    )
    await connection.close()
    return document


async def test_an_offer_comes_back_with_every_default_filled_in(database: str) -> None:
    async with world(database, max_wait=7) as w:
        created = await w.offer(country="GB")
        got = (await w.offers.GetOffer(pb.GetOfferRequest(name="demo"))).offer
        assert got == created
        assert (got.country, got.mode, got.merge_policy) == ("gb", pb.TRACE, pb.INBOUND_WINS)
        assert times.to_seconds(got.max_wait) == 7
        assert times.to_seconds(got.join_window) == 3_600
        assert got.weight == 1
        assert "gclid" in got.identity_params
        assert got.create_time == got.update_time != got.create_time.__class__()


async def test_every_field_survives_the_way_through_the_database(database: str) -> None:
    async with world(database, webhook_secret="s") as w:
        sent = pb.Offer(
            name="a.b_c-1",
            tracking_url="https://t.example/{gclid}?x={order}",
            country="de",
            max_wait=times.to_duration(0.25),
            mode=pb.BEACON,
            merge_policy=pb.APPEND,
            allow_params=["a", "b"],
            deny_params=["c"],
            rename_params=[pb.ParameterRename(**{"from": "x", "to": "y"})],
            identity_params=["order"],
            fallback_url="https://f.example/?o={order}",
            fallback_policy=pb.LAST_LANDING,
            landing_hosts=["shop.example"],
            landing_statuses=[404, 503],
            blocked_landing=pb.Offer.FALLBACK,
            user_agent_policy=pb.VISITOR,
            allow_app_links=True,
            weight=7,
            join_window=times.to_duration(60),
            webhook_url="https://hooks.example/late",
            disabled=True,
        )
        got = (await w.offers.CreateOffer(pb.CreateOfferRequest(offer=sent))).offer
        got.ClearField("create_time")
        got.ClearField("update_time")
        got.ClearField("etag")
        assert got == sent


async def test_a_twin_is_refused(database: str) -> None:
    async with world(database) as w:
        await w.offer()
        error = await error_of(
            w.offers.CreateOffer(pb.CreateOfferRequest(offer=pb.Offer(name="demo", tracking_url=CHAIN)))
        )
        assert (error.code, error.reason) == (Code.ALREADY_EXISTS, "OFFER_EXISTS")


async def test_every_fault_is_named_at_once(database: str) -> None:
    async with world(database) as w:
        bad = pb.Offer(
            name="no spaces",
            tracking_url="http://t.example/?a={nope}",
            fallback_url="javascript:alert(1)",
            webhook_url="https://hooks.example/",
            country="usa",
            max_wait=times.to_duration(61),
            join_window=times.to_duration(-1),
            allow_params=["", "a", "a"],
            identity_params=["offer"],
            rename_params=[
                pb.ParameterRename(**{"from": "", "to": "y"}),
                pb.ParameterRename(**{"from": "x", "to": "z\n"}),
            ],
            landing_hosts=["ok.example", "http://no.example/"],
            landing_statuses=[404, 399, 600],
            weight=1_001,
        )
        for field in ("mode", "merge_policy", "fallback_policy", "user_agent_policy", "blocked_landing"):
            setattr(bad, field, 77)
        error = await error_of(w.offers.CreateOffer(pb.CreateOfferRequest(offer=bad)))
        assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, "INVALID_REQUEST")
        assert {violation.field for violation in error.violations} == {
            "name", "tracking_url", "fallback_url", "webhook_url", "country", "max_wait", "join_window",
            "allow_params", "allow_params[0]", "identity_params", "rename_params.from[0]", "rename_params.to[1]",
            "landing_hosts[1]", "landing_statuses[1]", "landing_statuses[2]", "weight", "mode", "merge_policy",
            "fallback_policy", "user_agent_policy", "blocked_landing",
        }  # fmt: skip
        assert any("{nope}" in violation.description for violation in error.violations)
        assert "unknown value 77; use TRACE, BEACON, REDIRECT_ONLY" in error.message


async def test_offers_are_listed_in_pages(database: str) -> None:
    async with world(database) as w:
        for name in ("b", "a", "c"):
            await w.offer(name)
        assert await names(w, 2) == [["a", "b"], ["c"]]
        assert await names(w, 3) == [["a", "b", "c"]]
        error = await error_of(w.offers.ListOffers(pb.ListOffersRequest(page_size=1_001)))
        assert [violation.field for violation in error.violations] == ["page_size"]


async def test_an_unknown_offer_is_not_found(database: str) -> None:
    async with world(database) as w:
        for call in (
            w.offers.GetOffer(pb.GetOfferRequest(name="nobody")),
            w.offers.UpdateOffer(update(pb.Offer(name="nobody", weight=2))),
            w.offers.DeleteOffer(pb.DeleteOfferRequest(name="nobody")),
        ):
            assert (await error_of(call)).reason == "UNKNOWN_OFFER"


async def test_an_update_changes_what_its_mask_names_and_clicks_see_it_at_once(database: str) -> None:
    async with world(database) as w:
        created = await w.offer(weight=5, landing_hosts=["shop.example"])
        changed = (
            await w.offers.UpdateOffer(
                update(pb.Offer(name="demo", mode=pb.REDIRECT_ONLY, weight=9), "mode", "landing_hosts")
            )
        ).offer
        assert (changed.mode, changed.weight, list(changed.landing_hosts)) == (pb.REDIRECT_ONLY, 5, [])
        assert changed.update_time.ToNanoseconds() > created.update_time.ToNanoseconds()
        assert (await w.record((await w.click("offer=demo")).click_id)).reason == "REDIRECT_ONLY"


async def test_a_click_under_way_keeps_the_offer_it_began_with(database: str) -> None:
    async with world(database) as w:
        await w.offer(merge_policy=pb.TRACED_WINS)
        go_on = asyncio.Event()
        w.tracer.script = waits_for(go_on, lands_on("http://shop.example/?gclid=traced"))
        clicking = asyncio.create_task(w.click("offer=demo&gclid=own&n=1"))
        async with asyncio.timeout(5):
            while not w.tracer.requests:
                await asyncio.sleep(0.005)
        changed = pb.Offer(name="demo", merge_policy=pb.INBOUND_WINS, landing_hosts=["elsewhere.example"])
        await w.offers.UpdateOffer(update(changed))
        await w.offer("gone")
        go_on.set()
        assert (await clicking).location == "http://shop.example/?gclid=traced&n=1"
        assert (await w.click("offer=demo&gclid=own&n=2", "User-Agent: other")).location == f"{CHAIN}&gclid=own&n=2"


async def test_the_mask_of_all_replaces_the_whole_offer(database: str) -> None:
    async with world(database) as w:
        await w.offer(weight=5, country="gb", landing_hosts=["shop.example"])
        changed = (await w.offers.UpdateOffer(update(pb.Offer(name="demo", tracking_url=CHAIN, weight=2), "*"))).offer
        assert (changed.weight, changed.country, list(changed.landing_hosts)) == (2, "", [])
        error = await error_of(w.offers.UpdateOffer(update(pb.Offer(name="demo"), "*")))
        assert [violation.field for violation in error.violations] == ["tracking_url"]


async def test_an_update_without_a_mask_changes_all_that_is_set(database: str) -> None:
    async with world(database) as w:
        await w.offer(weight=5)
        changed = (await w.offers.UpdateOffer(update(pb.Offer(name="demo", country="GB")))).offer
        assert (changed.country, changed.weight, changed.tracking_url) == ("gb", 5, CHAIN)


async def test_what_was_left_out_follows_the_gateway_after_an_update_too(database: str) -> None:
    async with world(database, max_wait=7) as w:
        await w.offer()
        await w.offers.UpdateOffer(update(pb.Offer(name="demo", weight=2)))
    async with world(database, max_wait=8) as w:
        got = (await w.offers.GetOffer(pb.GetOfferRequest(name="demo"))).offer
        assert times.to_seconds(got.max_wait) == 8


async def test_a_mask_names_fields_that_can_change(database: str) -> None:
    async with world(database) as w:
        await w.offer()
        error = await error_of(w.offers.UpdateOffer(update(pb.Offer(name="demo"), "nope", "create_time", "weight")))
        assert error.code is Code.INVALID_ARGUMENT
        assert len(error.violations) == 2


async def test_a_change_is_checked_whole(database: str) -> None:
    async with world(database) as w:
        await w.offer(tracking_url="http://t.example/?o={order}", identity_params=["order"])
        error = await error_of(w.offers.UpdateOffer(update(pb.Offer(name="demo"), "identity_params")))
        assert [violation.field for violation in error.violations] == ["tracking_url"]


async def test_a_stale_etag_is_refused_and_changes_nothing(database: str) -> None:
    async with world(database) as w:
        read = await w.offer(weight=5)
        assert read.etag
        changed = (await w.offers.UpdateOffer(update(pb.Offer(name="demo", weight=6, etag=read.etag)))).offer
        assert changed.etag != read.etag
        error = await error_of(w.offers.UpdateOffer(update(pb.Offer(name="demo", weight=7, etag=read.etag))))
        assert (error.code, error.reason) == (Code.ABORTED, "ETAG_MISMATCH")
        assert (await w.offers.GetOffer(pb.GetOfferRequest(name="demo"))).offer == changed
        # Without an etag nobody asks.
        assert (await w.offers.UpdateOffer(update(pb.Offer(name="demo", weight=8)))).offer.weight == 8
        error = await error_of(w.offers.UpdateOffer(update(pb.Offer(name="demo"), "etag")))
        assert [violation.field for violation in error.violations] == ["update_mask"]


async def test_an_update_keeps_a_stored_field_that_this_build_does_not_know(database: str) -> None:
    async with world(database) as w:
        await w.offer()
        await by_hand(database, "demo", {"engine": "BROWSER"})
        await w.offers.UpdateOffer(update(pb.Offer(name="demo", weight=2)))
        await w.offers.UpdateOffer(update(pb.Offer(name="demo", tracking_url=CHAIN), "*"))
        assert (await stored(database, "demo"))["engine"] == "BROWSER"


async def test_an_offer_that_cannot_be_read_fails_alone(database: str) -> None:
    async with world(database) as w:
        for name in ("a", "bad", "z"):
            await w.offer(name)
        await by_hand(database, "bad", {"mode": "SHADOW"})
        for call in (
            w.offers.GetOffer(pb.GetOfferRequest(name="bad")),
            w.offers.UpdateOffer(update(pb.Offer(name="bad", weight=2))),
        ):
            error = await error_of(call)
            assert (error.code, error.reason) == (Code.FAILED_PRECONDITION, "OFFER_UNREADABLE")
            assert [violation.field for violation in error.violations] == ["mode"]
            assert "SHADOW" in error.message
        # The others go on changing, through a list that says which one it lacks.
        await w.offers.UpdateOffer(update(pb.Offer(name="z", disabled=True)))
        assert (await w.click("offer=z")).status == 404
        page = await w.offers.ListOffers(pb.ListOffersRequest())
        assert [offer.name for offer in page.offers] == ["a", "z"]
        assert list(page.unreadable_offers) == ["bad"]
        page = await w.offers.ListOffers(pb.ListOffersRequest(page_size=2))
        assert page.next_page_token == "bad"
    async with world(database) as w:
        assert (await w.click("offer=a")).status == 302
        assert (await w.click("offer=bad")).status == 404
        await w.offers.UpdateOffer(update(pb.Offer(name="bad", mode=pb.REDIRECT_ONLY)))
        assert (await w.click("offer=bad")).location == CHAIN


async def test_deleted_and_disabled_offers_are_unknown_to_visitors(database: str) -> None:
    async with world(database) as w:
        await w.offer()
        await w.offer("off", disabled=True)
        reply = await w.click("offer=demo")
        await w.offers.DeleteOffer(pb.DeleteOfferRequest(name="demo"))
        assert (await w.click("offer=demo")).status == 404
        assert (await w.click("offer=off")).status == 404
        assert (await w.record(reply.click_id)).offer == "demo"


async def test_other_gateways_see_changes_without_being_asked(database: str) -> None:
    async with world(database, gateways=2) as w:
        await w.offer()
        (other,) = w.others
        assert (await w.click("offer=demo", at=other)).status == 302
        await w.offers.DeleteOffer(pb.DeleteOfferRequest(name="demo"))
        for _ in range(1_000):
            if (await w.click("offer=demo", at=other)).status == 404:
                break
        else:
            pytest.fail("the other gateway still serves the offer")


async def test_changes_need_the_operator_token_and_reading_does_not(database: str) -> None:
    async with world(database, operator_token="s3cret") as w:
        offer = pb.CreateOfferRequest(offer=pb.Offer(name="demo", tracking_url=CHAIN))
        assert (await error_of(w.offers.CreateOffer(offer))).code is Code.UNAUTHENTICATED
        wrong = [("authorization", "Bearer wrong")]
        assert (await error_of(w.offers.CreateOffer(offer, metadata=wrong))).code is Code.PERMISSION_DENIED
        assert (await error_of(w.offers.UpdateOffer(update(offer.offer)))).code is Code.UNAUTHENTICATED
        assert (await error_of(w.offers.DeleteOffer(pb.DeleteOfferRequest(name="demo")))).code is Code.UNAUTHENTICATED
        await w.offers.CreateOffer(offer, metadata=[("authorization", "Bearer s3cret")])
        assert (await w.offers.GetOffer(pb.GetOfferRequest(name="demo"))).offer.name == "demo"
        with pytest.raises(aio.AioRpcError) as caught:
            await w.offers.GetOffer(pb.GetOfferRequest(name="\0"))
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_reading_needs_the_token_too_where_reads_are_protected(database: str) -> None:
    async with world(database, operator_token="s3cret", protect_reads=True) as w:
        watch = w.clicks.WatchClicks(pb.WatchClicksRequest())
        for call in (
            w.offers.GetOffer(pb.GetOfferRequest(name="demo")),
            w.offers.ListOffers(pb.ListOffersRequest()),
            w.clicks.GetClick(pb.GetClickRequest(click_id="0" * 32)),
            w.clicks.ListClicks(pb.ListClicksRequest()),
            w.clicks.ListOfferHealth(pb.ListOfferHealthRequest()),
            w.webhooks.ListWebhooks(pb.ListWebhooksRequest()),
            watch.read(),
        ):
            assert (await error_of(call)).reason == "OPERATOR_TOKEN_REQUIRED"
        known = [("authorization", "Bearer s3cret")]
        assert not (await w.clicks.ListClicks(pb.ListClicksRequest(), metadata=known)).clicks


async def test_the_log_says_who_changed_an_offer(database: str) -> None:
    async with world(database, operator_token="s3cret") as w:
        known = [("authorization", "Bearer s3cret"), ("x-operator", "anna")]
        offer = pb.Offer(name="demo", tracking_url=CHAIN)
        with structlog.testing.capture_logs() as logs:
            await w.offers.CreateOffer(pb.CreateOfferRequest(offer=offer), metadata=known)
            await w.offers.UpdateOffer(update(pb.Offer(name="demo", mode=pb.BEACON), "mode"), metadata=known)
            await w.offers.DeleteOffer(pb.DeleteOfferRequest(name="demo"), metadata=known)
    changes = [entry for entry in logs if entry["event"] == "offer.changed"]
    assert [(entry["action"], entry.get("fields")) for entry in changes] == [
        ("create", None),
        ("update", ["mode"]),
        ("delete", None),
    ]
    assert all(entry["actor"].startswith("anna from ipv4:127.0.0.1") for entry in changes)
    assert "s3cret" not in str(logs)
