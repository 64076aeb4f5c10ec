"""Whole walks through the served tracer: what is reported, when, and how a chain ends."""

import asyncio

from clicktrace.common.v1 import common_pb2
from clicktrace.tracer.v1 import tracer_pb2 as pb
from libs.common.rpc import times
from tests.integration.tracer.rig import Client, http_proxy
from tests.support.origin import Origin, Request, Wire, answer, page, redirect
from tests.support.scripted_proxy import ForwardProxy


async def test_a_chain_of_every_kind_is_walked_to_its_landing(client: Client) -> None:
    async def respond(request: Request, _wire: Wire) -> bytes:
        match request.path.partition("?")[0]:
            case "/start":
                return answer(
                    302, [("Location", "http://b.test/refresh?a=1&a=2#frag"), ("Set-Cookie", "one=1; path=/")]
                )
            case "/refresh":
                return answer(200, [("Refresh", "0; url=/meta?b=%20+")])
            case "/meta":
                return page('<meta http-equiv="refresh" content="0;url=script">')
            case "/script":
                return page('<script>window.location.href = "/landing?clickid=x%2By&empty=&flag";</script>')
        return page("<h1>landed</h1>")

    async with Origin(respond) as origin, ForwardProxy(origin) as proxy:
        walked = await client.trace("http://a.test/start?gclid=abc", http_proxy(proxy.port))

    assert walked.stop == "LANDING"
    assert walked.result.final_url == "http://b.test/landing?clickid=x%2By&empty=&flag"
    assert not walked.result.HasField("failure")
    kinds = [common_pb2.Hop.Kind.Name(hop.kind) for hop in walked.hops]
    assert kinds == ["LOCATION", "REFRESH_HEADER", "META_REFRESH", "SCRIPT", "KIND_UNSPECIFIED"]
    assert [hop.status for hop in walked.hops] == [302, 200, 200, 200, 200]
    assert list(walked.hops[0].set_cookie_names) == ["one"]
    assert walked.hops[2].url == "http://b.test/meta?b=%20+"
    assert "http-equiv" in walked.hops[2].snippet
    assert walked.hops[3].snippet.startswith("window.location.href")
    last = [(p.name, p.value, p.no_equals) for p in walked.result.params]
    assert last == [("clickid", "x%2By", False), ("empty", "", False), ("flag", "", True)]
    for hop in walked.hops:
        assert hop.http_version == "1.1"
        assert hop.remote_address == f"127.0.0.1:{proxy.port}"
        assert hop.bytes > 0
        assert hop.timing.HasField("total")
        assert hop.timing.HasField("first_byte")
    assert walked.result.bytes > sum(hop.bytes for hop in walked.hops)


async def test_a_hop_is_sent_before_the_next_one_is_answered(client: Client) -> None:
    proceed = asyncio.Event()

    async def respond(request: Request, _wire: Wire) -> bytes:
        if request.path == "/first":
            return redirect("/second")
        await proceed.wait()
        return page("landed")

    async with Origin(respond) as origin:
        call = client.call(pb.TraceRequest(trace_id="live", url=f"http://127.0.0.1:{origin.port}/first"))
        events = aiter(call)
        first = await anext(events)
        assert first.hop.url.endswith("/first")
        assert not proceed.is_set()
        proceed.set()
        rest = [event async for event in events]
    assert [event.WhichOneof("event") for event in rest] == ["hop", "result"]


async def test_hops_that_may_wait_come_with_the_result_of_a_fast_chain(client: Client) -> None:
    async def respond(request: Request, _wire: Wire) -> bytes:
        return page("landed") if request.path == "/3" else redirect(f"/{int(request.path[1:]) + 1}")

    async with Origin(respond) as origin:
        url = f"http://127.0.0.1:{origin.port}/1"
        call = client.call(pb.TraceRequest(trace_id="fast", url=url, hop_delay=times.to_duration(10)))
        (event,) = [event async for event in call]
    assert [hop.url[-1] for hop in event.earlier_hops] == ["1", "2", "3"]
    assert event.result.hops == 3


async def test_a_chain_that_breaks_reports_every_hop_it_walked(client: Client) -> None:
    async def respond(request: Request, wire: Wire) -> bytes | None:
        if request.path == "/1":
            return redirect("/2")
        if request.path == "/2":
            return redirect("/3")
        wire.reset()
        return None

    async with Origin(respond) as origin:
        walked = await client.trace(f"http://127.0.0.1:{origin.port}/1")
    assert [hop.status for hop in walked.hops] == [302, 302, 0]
    assert walked.hops[-1].error == walked.reason != ""
    assert walked.stop == "CONNECTION_ERROR"
    assert walked.blame == "TARGET"
    assert walked.result.failure.target_reached
    assert walked.result.final_url.endswith("/3")


async def test_the_same_url_again_is_no_loop(client: Client) -> None:
    seen = 0

    async def respond(_request: Request, _wire: Wire) -> bytes:
        nonlocal seen
        seen += 1
        return redirect("/same") if seen < 5 else page("landed")

    async with Origin(respond) as origin:
        walked = await client.trace(f"http://127.0.0.1:{origin.port}/same")
    assert walked.stop == "LANDING"
    assert len(walked.hops) == 5


async def test_only_the_limit_of_hops_ends_an_endless_chain(client: Client) -> None:
    async def respond(request: Request, _wire: Wire) -> bytes:
        number = int(request.path[1:])
        following = f"/{number + 1}"
        return [
            redirect(following, 301),
            page(f'<meta http-equiv="refresh" content="0;url={following}">'),
            answer(200, [("Refresh", f"0;url={following}")]),
            redirect(following, 307),
        ][number % 4]

    async with Origin(respond) as origin:
        walked = await client.trace(f"http://127.0.0.1:{origin.port}/0", max_hops=9)
    assert walked.stop == "MAX_HOPS"
    assert walked.blame == "CALLER"
    assert len(walked.hops) == len(origin.requests) == 9
    assert walked.result.final_url.endswith("/9")


async def test_connections_are_reused_within_a_walk_and_never_across_walks(client: Client) -> None:
    async def respond(request: Request, _wire: Wire) -> bytes:
        return redirect("/end") if request.path == "/start" else page("landed")

    async with Origin(respond) as origin, ForwardProxy(origin) as proxy:
        for _ in range(2):
            walked = await client.trace("http://a.test/start", http_proxy(proxy.port, credentials=True))
            assert walked.stop == "LANDING"
        assert [request.connection for request in origin.requests] == [1, 1, 2, 2]
        await proxy.until(lambda: proxy.open == 0)


async def test_a_page_is_the_referrer_of_what_it_leads_to_and_a_redirect_hands_it_on(client: Client) -> None:
    async def respond(request: Request, _wire: Wire) -> bytes:
        match request.path:
            case "/start":
                return redirect("/page")
            case "/page":
                return page('<meta http-equiv="refresh" content="0;url=http://b.test/redirect">')
            case "/redirect":
                return redirect("http://a.test/quiet")
            case "/quiet":
                return page("<meta name=referrer content=no-referrer><script>location = '/end'</script>")
        return page("landed")

    async with Origin(respond) as origin, ForwardProxy(origin) as proxy:
        walked = await client.trace("http://user:secret@a.test/start", http_proxy(proxy.port))
    assert walked.stop == "LANDING"
    told = [(request.path, request.header("referer")) for request in origin.requests]
    assert told == [
        ("/start", None),
        ("/page", None),
        ("/redirect", "http://a.test/"),
        ("/quiet", "http://a.test/page"),
        ("/end", None),
    ]


async def test_what_a_walk_says_of_itself(client: Client) -> None:
    async def respond(_request: Request, _wire: Wire) -> bytes:
        return page("landed")

    async with Origin(respond) as origin:
        url = f"http://127.0.0.1:{origin.port}/"
        await client.trace(url)
        await client.trace(url, headers=pb.RequestHeaders(user_agent="Visitor/1.0", accept_language="de, en;q=0.5"))
    own, visitor = (dict(request.headers) for request in origin.requests)
    assert "Clicktrace" in own["user-agent"]
    assert "accept-language" not in own
    assert (visitor["user-agent"], visitor["accept-language"]) == ("Visitor/1.0", "de, en;q=0.5")
    for headers in (own, visitor):
        assert set(headers) - {"accept-language"} == {"host", "user-agent", "accept", "accept-encoding"}


async def test_a_page_that_sets_a_cookie_and_reloads_itself_is_loaded_again_once(client: Client) -> None:
    """It may be asking whether cookies work; a page that goes on reloading is shown to a person, and is the landing."""
    reload = [("Set-Cookie", "check=1"), ("Refresh", "0"), ("Content-Type", "text/html")]

    async def asks(request: Request, _wire: Wire) -> bytes:
        return page("landed") if request.header("cookie") else answer(200, reload)

    async def never_content(_request: Request, _wire: Wire) -> bytes:
        return answer(200, reload)

    for respond in (asks, never_content):
        async with Origin(respond) as origin:
            walked = await client.trace(f"http://127.0.0.1:{origin.port}/")
        assert walked.stop == "LANDING"
        assert len(walked.hops) == 2
        assert walked.hops[0].next_url == walked.hops[1].url


async def test_the_result_says_how_the_last_response_looked(client: Client) -> None:
    async def respond(request: Request, _wire: Wire) -> bytes:
        match request.path:
            case "/start":
                return redirect("/gone")
            case "/robot":
                return answer(403, [("CF-Mitigated", "challenge"), ("Content-Type", "text/html")], b"are you?")
            case "/loop":
                return redirect("/loop")
        return answer(404, [("Content-Type", "text/html")], b"no such page")

    async with Origin(respond) as origin, ForwardProxy(origin) as proxy:
        via = http_proxy(proxy.port)
        gone = (await client.trace("http://a.test/start", via)).result
        robot = (await client.trace("http://a.test/robot", via)).result
        loop = (await client.trace("http://a.test/loop", via, max_hops=2)).result
    assert (gone.stop_reason, gone.final_status) == (pb.Result.LANDING, 404)
    assert (robot.stop_reason, robot.final_status) == (pb.Result.LANDING, 403)
    assert (loop.stop_reason, loop.final_status) == (pb.Result.MAX_HOPS, 302)
    assert [result.challenged for result in (gone, robot, loop)] == [False, True, False]
    assert not any(result.forwarded for result in (gone, robot, loop))
    unreached = (await client.trace("http://a.test/start", http_proxy(proxy.port))).result
    assert (unreached.stop_reason, unreached.final_status) == (pb.Result.PROXY_ERROR, 0)
