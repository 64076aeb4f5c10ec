"""Whatever strangers send to the public port: no 5xx, no echo, no header that is not ours, no lease for nothing."""

import asyncio
import json
import logging
from pathlib import Path

import pytest

from clicktrace.gateway.v1 import gateway_pb2 as pb
from libs.common.rpc import times
from tests.integration.gateway.world import CHAIN, World, parsed, raw, waits_for, world

CASES = Path(__file__).resolve().parents[5] / "shared" / "cases" / "bad_inputs.jsonl"
LANDING = "http://shop.example/l?clickid=c1"


def request(line: str, *headers: str, body: bytes = b"") -> bytes:
    return "\r\n".join([line, "Host: click.example", *headers, "", ""]).encode("latin-1") + body


async def sent(w: World, octets: bytes) -> bytes:
    return await raw(w.ports.public, octets)


QUERIES = [
    (b"gclid=a%20b+c", "gclid=a%20b+c"),
    (b"gclid=a+b%2Bc", "gclid=a+b%2Bc"),
    (b"gclid=a%0d%0aSet-Cookie:%20evil=1", "gclid=a%0d%0aSet-Cookie:%20evil=1"),
    (b"gclid=%E5%98%8A%E5%98%8DSet-Cookie:x", "gclid=%E5%98%8A%E5%98%8DSet-Cookie:x"),
    (b"gclid=%ff%fe", "gclid=%ff%fe"),
    (b"gclid=%zz%", "gclid=%zz%"),
    ("gclid=安".encode(), "gclid=%E5%AE%89"),
    (b"gclid=\xff\xfe", "gclid=%FF%FE"),
    (b"a=1&a=2&b&c=&=d&&e;f=1", "a=1&a=2&b&c=&=d&&e;f=1"),
    (b"a[]=1&a[b]=2&{x}=|\\^`\"'", "a[]=1&a[b]=2&{x}=|\\^`\"'"),
    (b"__proto__=1&constructor=2", "__proto__=1&constructor=2"),
    (b"url=http://x/?a=b", "url=http://x/?a=b"),
    (b"a=%1b[31m%0aERROR%20fake", "a=%1b[31m%0aERROR%20fake"),
    (b"a=1%00b", "a=1%00b"),
]


async def test_a_query_reaches_the_landing_byte_for_byte(database: str) -> None:
    async with world(database) as w:
        await w.offer()
        for query, passed_on in QUERIES:
            reply = await w.click(b"offer=demo&" + query)
            assert reply.status == 302
            assert reply.location == f"{LANDING}&{passed_on}"
            assert {name.lower() for name, _ in reply.headers} == {
                "location", "cache-control", "referrer-policy", "x-request-id", "content-length", "date", "server",
                "connection",
            }  # fmt: skip
            assert (await w.record(reply.click_id)).inbound_query == f"offer=demo&{passed_on}"


NO_OFFERS = [
    ("/track-hit", {400}),
    ("/track-hit?", {400}),
    ("/track-hit?offer=", {400}),
    ("/track-hit?offer", {400}),
    ("/track-hit?offer[]=demo", {400}),
    ("/track-hit?offer=does-not-exist", {404}),
    ("/track-hit?offer=demo'%20OR%201=1--", {400, 404}),
    ("/track-hit?offer=<script>alert(1)</script>", {400, 404}),
    ("/track-hit?offer={{7*7}}${7*7}", {400, 404}),
    ("/track-hit?offer=%00", {400}),
    ("/track-hit?offer=%ff", {400}),
    ("/track-hit?offer=" + "a" * 65, {400}),
    ("/track-hit/..;/admin", {404}),
    ("/track-hit/?offer=demo", {404}),
    ("//track-hit?offer=demo", {404}),
    ("/%74rack-hit?offer=demo", {404}),
    ("/readyz", {404}),
]


async def test_the_log_shows_no_value_of_a_query(database: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with world(database) as w:
        await w.offer()
        click = await w.click("offer=demo&gclid=marker-of-a-visitor")
        await w.record(click.click_id)
    assert "marker-of-a-visitor" in click.location
    assert "marker-of-a-visitor" not in caplog.text


async def test_what_names_no_offer_is_refused_without_echo_and_lease(database: str) -> None:
    async with world(database) as w:
        await w.offer()
        for target, statuses in NO_OFFERS:
            reply = await w.get(target)
            assert reply.status in statuses
            assert reply.header("Content-Type").startswith("text/plain")
            for word in (b"script", b"49", b"OR 1=1", b"does-not"):
                assert word not in reply.body
            assert "Location" not in dict(reply.headers)
        assert not w.pool.requests


async def test_other_methods_are_not_allowed(database: str) -> None:
    async with world(database) as w:
        await w.offer()
        for method in ("POST", "PUT", "DELETE", "TRACE", "OPTIONS", "PATCH"):
            reply = await w.click("offer=demo&marker=x", method=method)
            assert reply.status == 405
            assert reply.header("Allow") == "GET, HEAD"
            assert b"marker" not in reply.body
        assert (await w.click("offer=demo", method="BREW")).status in (400, 405)
        assert not w.pool.requests


MALFORMED = [
    request("GET /track-hit?offer=demo HTTP/1.1", "Transfer-Encoding: xchunked"),
    request("GET /track-hit?offer=demo HTTP/1.1", "Transfer-Encoding: chunked, identity"),
    request(
        "GET /track-hit?offer=demo HTTP/1.1", "Transfer-Encoding:\tchunked", "Content-Length: 4", body=b"0\r\n\r\n"
    ),
    request("GET /track-hit?offer=demo HTTP/1.1", "Content-Length: 1", "Content-Length: 2", body=b"ab"),
    request("GET /track-hit?offer=demo HTTP/1.1", "Content-Length: +1", body=b"a"),
    request("GET /track-hit?offer=demo HTTP/1.1", "Bad Header: x"),
    request("GET /track-hit?offer=demo HTTP/1.1", " folded: x"),
    request("GET /track-hit?offer=demo&a=b c HTTP/1.1"),
    request("GET /track-hit?offer=demo&marker=\x01 HTTP/1.1"),
    request("GET  HTTP/1.1"),
    b"\x16\x03\x01\x02\x00marker TLS to a plain port",
    b"marker\r\n\r\n",
    request("GET /track-hit?offer=demo HTTP/9.9"),
]


async def test_malformed_requests_are_refused_and_the_connection_ends(database: str) -> None:
    async with world(database) as w:
        await w.offer()
        for octets in MALFORMED:
            answer = await sent(w, octets)
            reply = parsed(answer)
            assert reply.status == 400
            assert reply.header("Connection") == "close"
            assert b"marker" not in answer
            assert reply.body == b"Bad Request\n"
            assert answer.count(b"HTTP/1.") == 1
        assert not w.pool.requests


LARGE = [
    (request("GET /track-hit?offer=demo&gclid=" + "x" * 8_192 + " HTTP/1.1", "Connection: close"), 302),
    (request("GET /track-hit?offer=demo&gclid=" + "x" * 60_000 + " HTTP/1.1", "Connection: close"), 302),
    (request("GET /track-hit?offer=demo&gclid=" + "x" * 1_000_000 + " HTTP/1.1"), 431),
    (request("GET /track-hit?offer=demo HTTP/1.1", "X-Big: " + "x" * 1_000_000), 431),
    (request("GET /track-hit?offer=demo HTTP/1.1", *["X-Large: " + "x" * 10_000] * 100), 431),
    (request("GET /track-hit?offer=demo HTTP/1.1", "Connection: close", *["X-Large: " + "x" * 10_000] * 6), 302),
    (request("GET /track-hit?offer=demo HTTP/1.1", *["X-Many: x"] * 1_000), 400),
]


async def test_large_requests_pass_up_to_a_limit(database: str) -> None:
    async with world(database) as w:
        await w.offer()
        for octets, status in LARGE:
            answer = await sent(w, octets)
            # A reset may overtake the answer when more comes than is read.
            assert not answer or parsed(answer).status == status
            assert not answer or parsed(answer).header("Connection") == "close"


async def test_ten_thousand_parameters_survive(database: str) -> None:
    async with world(database) as w:
        await w.offer()
        query = "&".join(f"{number:x}=" for number in range(10_000))
        assert (await w.click(f"offer=demo&{query}")).location == f"{LANDING}&{query}"


async def test_a_body_is_not_read(database: str) -> None:
    async with world(database) as w:
        await w.offer()
        answer = await sent(
            w, request("GET /track-hit?offer=demo HTTP/1.1", "Content-Length: 1000000000", body=b"x" * 100_000)
        )
        assert parsed(answer).status == 302


async def test_nothing_behind_a_body_is_taken_for_a_request(database: str) -> None:
    async with world(database) as w:
        await w.offer()
        first = request("GET /track-hit?offer=demo HTTP/1.1", "Content-Length: 3", body=b"abc")
        answer = await sent(w, first + request("GET /track-hit?offer=demo&smuggled=1 HTTP/1.1"))
        assert answer.count(b"HTTP/1.1 ") == 1
        assert b"smuggled" not in answer
        assert len(w.pool.granted) == 1


async def test_upgrades_are_ignored(database: str) -> None:
    async with world(database) as w:
        await w.offer()
        for headers in (
            ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: x", "Sec-WebSocket-Version: 13"),
            ("Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: x"),
        ):
            reader, writer = await asyncio.open_connection("127.0.0.1", w.ports.public)
            writer.write(request("GET /track-hit?offer=demo HTTP/1.1", *headers))
            assert (await reader.readline()).startswith(b"HTTP/1.1 302")
            writer.close()


async def test_the_host_of_the_request_has_no_say_and_absolute_targets_work(database: str) -> None:
    async with world(database) as w:
        await w.offer()
        octets = b"GET http://evil.test/track-hit?offer=demo HTTP/1.1\r\nHost: evil.test\r\nConnection: close\r\n\r\n"
        assert parsed(await sent(w, octets)).location == LANDING
        assert parsed(await sent(w, request("OPTIONS * HTTP/1.1", "Connection: close"))).status == 404


async def test_pipelined_requests_are_answered_in_order_and_those_of_a_gone_client_are_not_worked_off(
    database: str,
) -> None:
    async with world(database) as w:
        await w.offer()
        lines = [request(f"GET /track-hit?offer=demo&n={n} HTTP/1.1") for n in range(3)]
        last = request("GET /track-hit?offer=demo&n=3 HTTP/1.1", "Connection: close")
        answer = await sent(w, b"".join([*lines, last]))
        places = [answer.index(f"&n={number}\r\n".encode()) for number in range(4)]
        assert places == sorted(places)

        await w.offer("short", max_wait=times.to_duration(0.5))
        w.tracer.script = waits_for(asyncio.Event(), w.tracer.script)
        _reader, writer = await asyncio.open_connection("127.0.0.1", w.ports.public)
        writer.write(b"".join(request(f"GET /track-hit?offer=short&gone={n} HTTP/1.1") for n in range(1_000)))
        async with asyncio.timeout(5):
            while len(w.tracer.requests) < 5:
                await asyncio.sleep(0.005)
        writer.transport.abort()
    # The gateway has stopped, and so has waited for every request that it had begun.
    assert len(w.pool.granted) == 5


async def test_a_visitor_who_leaves_is_not_waited_for_and_the_trace_still_counts(database: str) -> None:
    async with world(database, max_waiting=1) as w:
        await w.offer()
        go_on = asyncio.Event()
        w.tracer.script = waits_for(go_on, w.tracer.script)
        _reader, writer = await asyncio.open_connection("127.0.0.1", w.ports.public)
        writer.write(request("GET /track-hit?offer=demo&gclid=1 HTTP/1.1"))
        async with asyncio.timeout(5):
            while not w.tracer.requests:
                await asyncio.sleep(0.005)
        writer.transport.abort()
        # The only place for a waiting visitor is free again.
        reply = None
        async with asyncio.timeout(5):
            while reply is None or reply.location == f"{CHAIN}&gclid=1":
                answering = asyncio.create_task(w.click("offer=demo&gclid=1"))
                await asyncio.wait([answering], timeout=0.05)
                go_on.set()
                reply = await answering
        assert reply.location == f"{LANDING}&gclid=1"
        left = (await w.clicks.ListClicks(pb.ListClicksRequest(reason="VISITOR_LEFT"))).clicks
        assert [click.status for click in left] == [pb.COMPLETED]
        assert len(w.tracer.requests) == 1


async def test_slow_clients_are_cut_off_and_others_do_not_wait_for_them(database: str) -> None:
    async with world(database, header_timeout=1) as w:
        await w.offer()
        slow = [await asyncio.open_connection("127.0.0.1", w.ports.public) for _ in range(500)]
        for _, writer in slow:
            writer.write(b"GET /track-hit?offer=demo HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        assert (await w.click("offer=demo")).status == 302

        async def drip() -> None:
            # One byte after the other: what counts is how long the whole takes.
            while True:
                for _, writer in slow[:50]:
                    writer.write(b"x")
                await asyncio.sleep(0.05)

        dripping = asyncio.create_task(drip())
        async with asyncio.timeout(20):
            for reader, _ in slow:
                try:
                    assert await reader.read() == b""
                except ConnectionResetError:
                    # A byte came after the end.
                    continue
        dripping.cancel()
        for _, writer in slow:
            writer.close()


async def test_one_address_cannot_use_up_the_ips(database: str) -> None:
    async with world(database, client_rate=0.001, client_burst=3) as w:
        await w.offer()
        replies = [await w.click(f"offer=demo&n={n}", "X-Forwarded-For: 192.0.2.{n}") for n in range(5)]
        assert [reply.location.startswith(LANDING) for reply in replies] == [True, True, True, False, False]
        assert (await w.record(replies[4].click_id)).reason == "CLIENT_RATE"
        assert max(reply.seconds for reply in replies[3:]) < 2


async def test_behind_a_trusted_proxy_each_visitor_has_a_rate_of_its_own(database: str) -> None:
    async with world(database, client_rate=0.001, client_burst=1, trusted_proxies="127.0.0.0/8") as w:
        await w.offer()

        async def traced(address: str) -> bool:
            return (await w.click("offer=demo", f"X-Forwarded-For: {address}")).location.startswith(LANDING)

        assert await traced("192.0.2.1")
        assert not await traced("10.9.9.9, 192.0.2.1")
        assert await traced("192.0.2.2")
        assert await traced("2001:db8:1:1::1")
        assert not await traced("2001:db8:1:1:ffff::2")
        assert await traced("2001:db8:1:2::1")


async def test_behind_so_many_proxies_the_last_addresses_are_theirs(database: str) -> None:
    async with world(database, client_rate=0.001, client_burst=1, trusted_hops=2) as w:
        await w.offer()

        async def traced(addresses: str) -> bool:
            return (await w.click("offer=demo", f"X-Forwarded-For: {addresses}")).location.startswith(LANDING)

        assert await traced("192.0.2.1, 203.0.113.5")
        assert not await traced("10.9.9.9, 192.0.2.1, 203.0.113.6")
        assert await traced("192.0.2.2, 203.0.113.5")


async def test_an_offer_has_a_rate_by_its_weight(database: str) -> None:
    async with world(database, offer_rate=0.001, offer_burst=1) as w:
        await w.offer("light")
        await w.offer("heavy", weight=3)
        answers = {}
        for name in ("light", "heavy"):
            replies = [await w.click(f"offer={name}") for _ in range(4)]
            answers[name] = sum(reply.location.startswith(LANDING) for reply in replies)
        assert answers == {"light": 1, "heavy": 3}


async def test_more_waiting_visitors_than_there_is_room_for_get_the_fallback_at_once(database: str) -> None:
    async with world(database, max_waiting=2) as w:
        await w.offer()
        go_on = asyncio.Event()
        w.tracer.script = waits_for(go_on, w.tracer.script)
        waiting = [asyncio.create_task(w.click("offer=demo")) for _ in range(2)]
        async with asyncio.timeout(5):
            while len(w.tracer.requests) < 2:
                await asyncio.sleep(0.005)
        reply = await w.click("offer=demo")
        assert (reply.location, reply.seconds < 2) == (CHAIN, True)
        assert (await w.record(reply.click_id)).reason == "OVERLOAD"
        go_on.set()
        assert [answer.location for answer in await asyncio.gather(*waiting)] == [LANDING] * 2


@pytest.mark.skipif(not CASES.exists(), reason="the outside cases are not on this machine")
def test_every_outside_case_of_the_gateway_is_known_here() -> None:
    """Says which test stands for which row, so that a new row is not overlooked."""
    covered = {
        "gw-empty-offer", "gw-unknown", "gw-path-trick", "gw-arr", "gw-sql", "gw-crlf", "gw-crlf-u", "gw-plus",
        "gw-utf8bad", "gw-utf8", "gw-long", "gw-dupkey", "gw-reserved", "gw-xss", "gw-tmpl", "gw-log",
        "http-smug-te", "http-smug-cl2", "http-host-evil", "http-xff", "http-trace", "http-options", "http-slow",
        "http-pipeline", "http-bighdr", "http-bigbody", "http-upgrade", "http-h2rr", "http-flood", "http-enc",
    }  # fmt: skip
    rows = [json.loads(line) for line in CASES.read_text().splitlines()]
    assert {row["id"] for row in rows if row["surface"].startswith("gateway.")} == covered
