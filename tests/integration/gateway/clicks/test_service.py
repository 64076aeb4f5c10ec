"""One click through a real gateway: what the visitor gets, what the neighbours are asked, what the log says."""

import asyncio
from urllib.parse import urlsplit

from clicktrace.gateway.v1 import gateway_pb2 as pb
from clicktrace.pool.v1 import pool_pb2
from clicktrace.tracer.v1 import tracer_pb2
from libs.common.errors import ClicktraceError, Code
from libs.common.rpc import times
from tests.integration.gateway.world import (
    CHAIN,
    broke,
    hop,
    in_turn,
    landed,
    lands_on,
    refuses,
    says,
    waits_for,
    world,
)

HALF_A_SECOND = times.to_duration(0.5)


async def test_a_click_is_sent_to_the_landing_page_with_merged_parameters(database: str) -> None:
    async with world(database) as w:
        await w.offer()
        reply = await w.click("offer=demo&gclid=abc123&sub=%20+x")
        assert reply.status == 302
        assert reply.location == "http://shop.example/l?clickid=c1&gclid=abc123&sub=%20+x"
        assert reply.header("Cache-Control") == "no-store"
        assert reply.header("Referrer-Policy") == "strict-origin-when-cross-origin"

        record = await w.record(reply.click_id)
        assert record.status == pb.COMPLETED
        assert record.answer == pb.LANDING
        assert record.reason == ""
        assert record.inbound_query == "offer=demo&gclid=abc123&sub=%20+x"
        assert record.location == reply.location
        assert [one.url for one in record.hops] == [CHAIN, "http://shop.example/l?clickid=c1"]
        assert [(p.name, p.value, p.origin, p.hop_index) for p in record.params] == [
            ("clickid", "c1", pb.ParameterSource.TRACED, 1),
            ("gclid", "abc123", pb.ParameterSource.INBOUND, -1),
            ("sub", "%20+x", pb.ParameterSource.INBOUND, -1),
        ]
        (attempt,) = record.attempts
        assert (attempt.ip_address, attempt.outcome) == ("10.0.0.1", "SUCCESS")
        (release,) = await w.pool.all_released()
        assert (release.outcome, release.bytes) == (pool_pb2.SUCCESS, 1_000)


async def test_the_alias_of_the_seed_works_and_nothing_else_is_there(database: str) -> None:
    async with world(database) as w:
        await w.offer()
        assert (await w.get("/functions/v1/track-hit?offer=demo")).status == 302
        for target in ("/", "/healthz", "/track-hit/", "/track-hit/..;/admin", "/metrics", "/TRACK-HIT?offer=demo"):
            assert (await w.get(target)).status == 404, target


async def test_ten_clicks_at_once_get_ten_ips_and_the_eleventh_falls_back_at_once(database: str) -> None:
    async with world(database) as w:
        await w.offer()
        del w.pool.free[10:]
        replies = await asyncio.gather(*(w.click(f"offer=demo&gclid=c{number}") for number in range(11)))
        landings = [reply for reply in replies if reply.location.startswith("http://shop.example/")]
        (late,) = [reply for reply in replies if reply not in landings]
        assert late.location.startswith(f"{CHAIN}&gclid=c")
        assert late.seconds < 2
        record = await w.record(late.click_id)
        assert (record.status, record.answer, record.reason) == (pb.FAILED, pb.FALLBACK, "NO_AVAILABLE_IP")
        used = {(await w.record(reply.click_id)).attempts[0].ip_address for reply in landings}
        assert len(used) == 10


async def test_a_slow_chain_gets_the_fallback_at_the_deadline_and_its_trace_goes_on(database: str) -> None:
    async with world(database) as w:
        await w.offer(max_wait=HALF_A_SECOND)
        go_on = asyncio.Event()
        w.tracer.script = waits_for(
            go_on, says(hop(1, "http://shop.example/?clickid=9"), landed("http://shop.example/"))
        )
        reply = await w.click("offer=demo&gclid=abc")
        assert reply.location == f"{CHAIN}&gclid=abc"
        assert 0.5 <= reply.seconds < 2
        # At the deadline nobody waits for the record for long.
        record = await w.record_when(reply.click_id, lambda click: click.status != pb.PENDING)
        assert (record.status, record.answer, record.reason) == (pb.TRACING, pb.FALLBACK, "MAX_WAIT")
        assert len(record.hops) == 1
        assert not w.pool.released

        go_on.set()
        record = await w.record_when(reply.click_id, lambda click: click.status != pb.TRACING)
        assert (record.status, record.answer, record.reason) == (pb.COMPLETED, pb.FALLBACK, "MAX_WAIT")
        assert len(record.hops) == 2
        assert record.location == reply.location
        (release,) = await w.pool.all_released()
        assert release.outcome == pool_pb2.SUCCESS


async def test_a_chain_that_breaks_falls_back_and_keeps_every_hop(database: str) -> None:
    async with world(database) as w:
        await w.offer(fallback_url="https://fallback.example/f?x=1#end")
        w.tracer.script = says(
            hop(0, CHAIN, next_url="http://dead.example/"),
            hop(1, "http://dead.example/", error="CONNECTION_REFUSED"),
            broke("CONNECTION_REFUSED"),
        )
        reply = await w.click("offer=demo&gclid=abc")
        assert reply.location == "https://fallback.example/f?x=1&gclid=abc#end"
        record = await w.record(reply.click_id)
        assert (record.status, record.answer, record.reason) == (pb.FAILED, pb.FALLBACK, "CONNECTION_REFUSED")
        assert [(one.url, one.error) for one in record.hops] == [
            (CHAIN, ""),
            ("http://dead.example/", "CONNECTION_REFUSED"),
        ]
        assert [(p.name, p.origin) for p in record.params] == [
            ("x", pb.ParameterSource.OFFER),
            ("gclid", pb.ParameterSource.INBOUND),
        ]
        (release,) = await w.pool.all_released()
        assert release.outcome == pool_pb2.TARGET_FAILURE
        assert release.failure_reason == "CONNECTION_REFUSED"


async def test_a_proxy_that_fails_before_the_target_is_replaced_invisibly(database: str) -> None:
    async with world(database) as w:
        await w.offer()
        dead = broke("PROXY_CONNECT_REFUSED", blame=tracer_pb2.Failure.PROXY, reached=False)
        w.tracer.script = in_turn(says(dead), lands_on("http://shop.example/"))
        reply = await w.click("offer=demo&gclid=abc")
        assert reply.location == "http://shop.example/?gclid=abc"
        record = await w.record(reply.click_id)
        assert [(one.ip_address, one.outcome, one.failure_reason) for one in record.attempts] == [
            ("10.0.0.1", "PROXY_FAILURE", "PROXY_CONNECT_REFUSED"),
            ("10.0.0.2", "SUCCESS", ""),
        ]
        assert {one.attempt for one in record.hops} == {2}
        assert len({one.request_id for one in w.pool.requests}) == 2


async def test_an_unclear_failure_before_the_target_is_told_with_its_host_and_another_ip_is_tried(
    database: str,
) -> None:
    async with world(database) as w:
        await w.offer()
        unclear = broke("PROXY_TUNNEL_TIMEOUT", blame=tracer_pb2.Failure.UNCLEAR, reached=False, host="slow.example")
        w.tracer.script = in_turn(says(unclear), lands_on("http://shop.example/"))
        reply = await w.click("offer=demo&gclid=abc")
        assert reply.location == "http://shop.example/?gclid=abc"
        record = await w.record(reply.click_id)
        assert [(one.ip_address, one.outcome, one.failure_reason) for one in record.attempts] == [
            ("10.0.0.1", "UNCLEAR_FAILURE", "PROXY_TUNNEL_TIMEOUT"),
            ("10.0.0.2", "SUCCESS", ""),
        ]
        first, second = await w.pool.all_released()
        assert (first.outcome, first.target_host) == (pool_pb2.UNCLEAR_FAILURE, "slow.example")
        assert (second.outcome, second.target_host) == (pool_pb2.SUCCESS, "")


async def test_no_second_ip_once_an_origin_may_have_seen_a_request(database: str) -> None:
    async with world(database) as w:
        await w.offer()
        w.tracer.script = says(broke("PROXY_RESET", blame=tracer_pb2.Failure.PROXY, reached=True))
        reply = await w.click("offer=demo")
        assert reply.location == CHAIN
        assert len(w.tracer.requests) == 1
        assert (await w.record(reply.click_id)).reason == "PROXY_RESET"


async def test_an_ip_that_comes_in_time_is_waited_for(database: str) -> None:
    async with world(database) as w:
        await w.offer()
        w.pool.free.clear()
        w.pool.retry_after = 0.2
        clicking = asyncio.create_task(w.click("offer=demo"))
        async with asyncio.timeout(5):
            while not w.pool.waiting:
                await asyncio.sleep(0.005)
        await w.pool.put_back("10.9.9.9")
        assert (await clicking).location.startswith("http://shop.example/")
        (asked,) = w.pool.waiting
        assert 0 < times.to_seconds(asked.wait) <= 10
        assert times.to_seconds(asked.ttl) > times.to_seconds(asked.wait)


async def test_a_lost_lease_ends_its_trace(database: str) -> None:
    async with world(database, lease_ttl=2) as w:
        await w.offer()
        w.tracer.script = waits_for(asyncio.Event(), says())
        w.pool.lost.add("lease-1")
        reply = await w.click("offer=demo")
        assert reply.location == CHAIN
        record = await w.record(reply.click_id)
        assert record.reason == "LEASE_LOST"
        assert record.attempts[0].failure_reason == "LEASE_LOST"
        assert w.tracer.cancelled == 1
    # What the pool has taken back is not given back again.
    assert not w.pool.released


async def test_heartbeats_keep_a_lease_beyond_its_ttl(database: str) -> None:
    async with world(database, lease_ttl=2) as w:
        await w.offer()
        go_on = asyncio.Event()
        w.tracer.script = waits_for(go_on, lands_on("http://shop.example/"))
        clicking = asyncio.create_task(w.click("offer=demo"))
        async with asyncio.timeout(10):
            # Three times a third of the TTL, and the margin is passed.
            while w.pool.heartbeats.count("lease-1") < 4:
                await asyncio.sleep(0.01)
        go_on.set()
        assert (await clicking).location == "http://shop.example/"


async def test_a_trace_that_ends_during_its_heartbeat_costs_no_other_lease(database: str) -> None:
    async with world(database, lease_ttl=2) as w:
        await w.offer()
        beating, ended, go_on = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def hold() -> None:
            beating.set()
            await ended.wait()

        w.pool.before_beat = hold
        w.tracer.script = in_turn(
            waits_for(beating, lands_on("http://short.example/")), waits_for(go_on, lands_on("http://long.example/"))
        )
        short = asyncio.create_task(w.click("offer=demo"))
        assert (await short).location == "http://short.example/"
        w.pool.before_beat = None
        ended.set()
        long = asyncio.create_task(w.click("offer=demo"))
        async with asyncio.timeout(10):
            while w.pool.heartbeats.count("lease-2") < 4:
                await asyncio.sleep(0.01)
        go_on.set()
        assert (await long).location == "http://long.example/"


async def test_a_busy_tracer_is_asked_again_with_the_same_ip(database: str) -> None:
    async with world(database) as w:
        await w.offer()
        busy = refuses(ClicktraceError(Code.RESOURCE_EXHAUSTED, "TRACER_BUSY", "busy", retry_after=0.1))
        w.tracer.script = in_turn(busy, lands_on("http://shop.example/"))
        assert (await w.click("offer=demo")).location == "http://shop.example/"
        assert len(w.tracer.requests) == 2
        assert len(w.pool.granted) == 1


async def test_an_ip_through_which_nothing_left_is_given_back_as_unused(database: str) -> None:
    async with world(database) as w:
        await w.offer()
        w.tracer.script = refuses(ClicktraceError(Code.RESOURCE_EXHAUSTED, "TRACER_BUSY", "busy", retry_after=0.1))
        assert (await w.click("offer=demo&gclid=1")).location == f"{CHAIN}&gclid=1"
        refused = tracer_pb2.Result.REFUSED_TARGET
        w.tracer.script = says(broke("REFUSED_TARGET", reached=False, stop=refused))
        assert (await w.click("offer=demo&gclid=2")).location == f"{CHAIN}&gclid=2"
        released = await w.pool.all_released()
        assert [(one.outcome, one.failure_reason) for one in released] == [
            (pool_pb2.UNUSED, "TRACER_BUSY"),
            (pool_pb2.UNUSED, "REFUSED_TARGET"),
        ]


async def test_an_ip_whose_proxy_was_dialled_in_vain_is_not_unused(database: str) -> None:
    async with world(database) as w:
        await w.offer()
        out_of_time = broke(
            "TOTAL_TIMEOUT",
            blame=tracer_pb2.Failure.CALLER,
            reached=False,
            stop=tracer_pb2.Result.TOTAL_TIMEOUT,
        )
        w.tracer.script = says(hop(0, CHAIN, error="TOTAL_TIMEOUT"), out_of_time)
        assert (await w.click("offer=demo&gclid=1")).location == f"{CHAIN}&gclid=1"
        (released,) = await w.pool.all_released()
        assert (released.outcome, released.failure_reason) == (pool_pb2.CANCELLED, "TOTAL_TIMEOUT")


async def test_head_and_previews_never_take_an_ip(database: str) -> None:
    async with world(database) as w:
        await w.offer()
        for method, headers, reason in (
            ("HEAD", (), "HEAD"),
            ("GET", ("Purpose: prefetch",), "PREFETCH"),
            ("GET", ("Sec-Purpose: prefetch;prerender",), "PREFETCH"),
        ):
            reply = await w.click("offer=demo&gclid=a", *headers, method=method)
            assert (reply.status, reply.location) == (302, f"{CHAIN}&gclid=a")
            record = await w.record(reply.click_id)
            assert (record.status, record.reason) == (pb.NOT_TRACED, reason)
        assert not w.pool.requests


async def test_an_offer_without_permission_to_trace_redirects_only(database: str) -> None:
    async with world(database) as w:
        await w.offer(mode=pb.REDIRECT_ONLY)
        reply = await w.click("offer=demo&gclid=a")
        assert reply.location == f"{CHAIN}&gclid=a"
        assert (await w.record(reply.click_id)).reason == "REDIRECT_ONLY"
        assert not w.pool.requests


async def test_a_beacon_is_answered_at_once_and_traced_in_the_background(database: str) -> None:
    async with world(database) as w:
        await w.offer(mode=pb.BEACON)
        go_on = asyncio.Event()
        w.tracer.script = waits_for(go_on, lands_on("http://shop.example/"))
        reply = await w.click("offer=demo&gclid=a")
        assert (reply.status, reply.body) == (204, b"")
        go_on.set()
        record = await w.record_when(reply.click_id, lambda click: click.status == pb.COMPLETED)
        assert record.answer == pb.NO_CONTENT
        assert record.final_url == "http://shop.example/"


async def test_tokens_are_filled_with_what_stood_on_the_wire(database: str) -> None:
    async with world(database) as w:
        await w.offer(tracking_url="http://t.example/c?g={gclid}&o={offer}&id={click_id}&cc={country}", country="US")
        reply = await w.click("offer=demo&gclid=a%20b+c%2F")
        (request,) = w.tracer.requests
        assert request.url == f"http://t.example/c?g=a%20b+c%2F&o=demo&id={reply.click_id}&cc=us"
        assert w.pool.requests[0].country == "us"


async def test_landings_that_must_not_be_used_fall_back(database: str) -> None:
    async with world(database) as w:
        await w.offer(landing_hosts=["shop.example"])
        app = tracer_pb2.Result.APP_LINK
        for url, stop, reason in (
            ("http://evil.example/", tracer_pb2.Result.LANDING, "LANDING_NOT_ALLOWED"),
            ("http://notshop.example/", tracer_pb2.Result.LANDING, "LANDING_NOT_ALLOWED"),
            ("market://details?id=x", app, "APP_LINK"),
            ("javascript:alert(1)", app, "UNSUPPORTED_SCHEME"),
            ("data:text/html,x", tracer_pb2.Result.LANDING, "UNSUPPORTED_SCHEME"),
        ):
            w.tracer.script = says(landed(url, stop=stop))
            reply = await w.click("offer=demo")
            assert reply.location == CHAIN, url
            assert (await w.record(reply.click_id)).reason == reason
        w.tracer.script = lands_on("https://www.shop.example:8443/x")
        assert urlsplit((await w.click("offer=demo")).location).hostname == "www.shop.example"


async def test_an_error_page_is_no_landing(database: str) -> None:
    async with world(database) as w:
        await w.offer(fallback_policy=pb.LAST_LANDING, landing_statuses=[404])
        for status, challenged in ((500, False), (503, False), (410, True)):
            page = landed("http://shop.example/?clickid=9", status=status, challenged=challenged)
            w.tracer.script = says(hop(0, CHAIN, next_url="http://shop.example/?clickid=9"), page)
            reply = await w.click(f"offer=demo&gclid={status}")
            assert reply.location == f"{CHAIN}&gclid={status}"
            record = await w.record(reply.click_id)
            assert (record.status, record.answer, record.reason) == (pb.FAILED, pb.FALLBACK, "LANDING_HTTP_ERROR")
            assert record.stop_reason == "LANDING_HTTP_ERROR"
            assert [one.outcome for one in record.attempts] == ["TARGET_FAILURE"]
        assert {release.outcome for release in await w.pool.all_released()} == {pool_pb2.TARGET_FAILURE}
        w.tracer.script = says(landed("http://shop.example/?clickid=9", status=404))
        reply = await w.click("offer=demo&gclid=404")
        assert reply.location == "http://shop.example/?clickid=9&gclid=404"


async def test_a_page_that_keeps_robots_out_is_used_and_told_but_never_learned(database: str) -> None:
    async with world(database) as w:
        await w.offer(fallback_policy=pb.LAST_LANDING)
        for status, challenged in ((403, False), (503, True)):
            w.tracer.script = says(landed("http://shop.example/sale", status=status, challenged=challenged))
            reply = await w.click(f"offer=demo&gclid={status}")
            assert reply.location == f"http://shop.example/sale?gclid={status}"
            record = await w.record(reply.click_id)
            assert (record.status, record.answer, record.reason) == (pb.COMPLETED, pb.LANDING, "LANDING_BLOCKED")
            assert [one.outcome for one in record.attempts] == ["SUCCESS"]
        listed = await w.clicks.ListClicks(pb.ListClicksRequest(reason="LANDING_BLOCKED"))
        assert len(listed.clicks) == 2
        w.pool.free = []
        assert (await w.click("offer=demo&gclid=next")).location == f"{CHAIN}&gclid=next"
    # Nor does a gateway that starts anew learn it from the log.
    async with world(database) as w:
        w.pool.free = []
        assert (await w.click("offer=demo&gclid=later")).location == f"{CHAIN}&gclid=later"


async def test_an_offer_may_want_the_fallback_for_a_page_that_keeps_robots_out(database: str) -> None:
    async with world(database) as w:
        await w.offer(blocked_landing=pb.Offer.FALLBACK)
        w.tracer.script = says(landed("http://shop.example/", status=429))
        reply = await w.click("offer=demo&gclid=abc")
        assert reply.location == f"{CHAIN}&gclid=abc"
        record = await w.record(reply.click_id)
        assert (record.status, record.answer, record.reason) == (pb.FAILED, pb.FALLBACK, "LANDING_BLOCKED")


async def test_a_click_that_never_had_an_ip_says_so_however_long_it_waited(database: str) -> None:
    async with world(database) as w:
        await w.offer(max_wait=HALF_A_SECOND)
        w.pool.free = []
        # One may come in time, so the pool lets them wait: for longer than any of the visitors does.
        w.pool.retry_after = 0.1
        replies = await asyncio.gather(*(w.click(f"offer=demo&gclid=c{number}") for number in range(5)))
        assert len(w.pool.waiting) == 5
        assert all(request.asks_again for request in w.pool.waiting)
        for reply in replies:
            assert reply.location.startswith(f"{CHAIN}&gclid=c")
            record = await w.record_when(reply.click_id, lambda click: click.HasField("end_time"))
            assert (record.status, record.reason, list(record.attempts)) == (pb.FAILED, "NO_AVAILABLE_IP", [])


async def test_an_app_link_is_followed_only_where_the_offer_allows_it(database: str) -> None:
    async with world(database) as w:
        await w.offer(allow_app_links=True)
        w.tracer.script = says(landed("market://details?id=x", stop=tracer_pb2.Result.APP_LINK))
        assert (await w.click("offer=demo&gclid=1")).location == "market://details?id=x&gclid=1"


async def test_secrets_of_the_proxy_stay_out_of_the_record(database: str) -> None:
    async with world(database) as w:
        await w.offer()
        reply = await w.click("offer=demo")
        assert w.tracer.requests[0].proxy.password == "marker-secret"
        assert "marker-secret" not in str(await w.record(reply.click_id))


async def test_many_clicks_without_an_ip_do_not_each_ask_whether_waiting_helps(database: str) -> None:
    async with world(database) as w:
        await w.offer()
        w.pool.free.clear()
        replies = [await w.click(f"offer=demo&gclid={number}") for number in range(10)]
        assert {reply.location.partition("&")[0] for reply in replies} == {CHAIN}
        assert len(w.pool.requests) == 10
        # Half a second is a long time; the more so on a slow machine.
        assert 1 <= len(w.pool.waiting) < 10
