"""The console over HTTP: who gets in, what the page may do, what the stream tells, and traces on demand."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from clicktrace.gateway.v1 import gateway_pb2 as pb
from clicktrace.pool.v1 import pool_pb2
from libs.common.rpc import times
from tests.integration.gateway.world import World, lands_on, waits_for, world
from tests.integration.pool_manager.rig import Manager, serve_in_process

TOKEN = "marker-operator-token"
PATHS = ("/console", "/console/events", "/console/clicks", f"/console/clicks/{'0' * 32}", "/console/estimate")


@asynccontextmanager
async def alone(database: str, **settings: Any) -> AsyncIterator[World]:
    """A gateway whose console finds no pool manager."""
    async with world(database, pool_admin_target="dns:///127.0.0.1:1", **settings) as w:
        yield w


@asynccontextmanager
async def browser(w: World, **headers: str) -> AsyncIterator[aiohttp.ClientSession]:
    """A client that keeps cookies, as a browser does, of the first gateway's internal port."""
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(
        f"http://127.0.0.1:{w.ports.internal}", cookie_jar=jar, headers=headers
    ) as session:
        yield session


@asynccontextmanager
async def frames(session: aiohttp.ClientSession) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
    """The frames of the stream, read as a browser reads them."""
    async with session.get("/console/events") as response:
        assert response.status == 200
        assert response.content_type == "text/event-stream"

        async def read() -> AsyncIterator[dict[str, Any]]:
            async for line in response.content:
                if line.startswith(b"data: "):
                    yield json.loads(line.removeprefix(b"data: "))

        yield read()


async def until(stream: AsyncIterator[dict[str, Any]], part: str, text: str) -> dict[str, Any]:
    """Reads until a part of the page holds a text."""
    async with asyncio.timeout(20):
        async for frame in stream:
            if text in json.dumps(frame.get(part, ""), ensure_ascii=False):
                return frame
    raise AssertionError("the stream ended")


@asynccontextmanager
async def with_pool(database: str, **settings: Any) -> AsyncIterator[tuple[World, Manager]]:
    """A gateway whose console looks at a real pool manager."""
    async with (
        serve_in_process(database, cooldown=30.0) as manager,
        world(database, pool_admin_target=f"dns:///{manager.target}", **settings) as w,
    ):
        yield w, manager


@pytest.mark.parametrize("path", PATHS)
async def test_nothing_is_reachable_without_the_token(database: str, path: str) -> None:
    async with alone(database, operator_token=TOKEN) as w, browser(w) as session:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Cookie": "clicktrace_console=9999999999.00"}):
            async with session.get(path, headers=headers) as response:
                assert response.status == 401
                assert ("Operator token" in await response.text()) is (path == "/console")
        async with session.post("/console/traces", data={"offer": "demo"}) as response:
            assert response.status == 401
        assert not w.tracer.requests


async def test_the_token_is_asked_for_once(database: str) -> None:
    async with alone(database, operator_token=TOKEN) as w, browser(w) as session:
        async with session.post("/console/session", data={"token": "wrong"}) as response:
            assert response.status == 403
            assert TOKEN not in await response.text()
        async with session.post("/console/session", data={"token": TOKEN}, allow_redirects=False) as response:
            assert (response.status, response.headers["Location"]) == (303, "/console")
            cookie = response.headers["Set-Cookie"]
            assert TOKEN not in cookie
            assert {"HttpOnly", "Path=/console", "SameSite=Strict"} <= {part.strip() for part in cookie.split(";")}
        async with session.get("/console") as response:
            assert response.status == 200
            assert "Sign out" in await response.text()
        async with session.post("/console/session/end") as response:
            assert response.status == 401
        async with session.get("/console/estimate") as response:
            assert response.status == 401


async def test_the_token_cannot_be_guessed_at_speed(database: str) -> None:
    async with alone(database, operator_token=TOKEN) as w, browser(w) as session:
        answers = []
        for number in range(8):
            async with session.post("/console/session", data={"token": str(number)}) as response:
                answers.append(response.status)
        assert answers == [403] * 5 + [429] * 3


async def test_who_knows_the_token_signs_in_as_often_as_it_takes(database: str) -> None:
    async with alone(database, operator_token=TOKEN) as w, browser(w) as session:
        for _ in range(8):
            async with session.post("/console/session", data={"token": TOKEN}, allow_redirects=False) as response:
                assert response.status == 303


async def test_the_header_of_grpcurl_opens_it_too(database: str) -> None:
    async with (
        alone(database, operator_token=TOKEN) as w,
        browser(w, Authorization=f"Bearer {TOKEN}") as session,
        session.get("/console") as response,
    ):
        assert response.status == 200
        assert TOKEN not in await response.text()


async def test_without_a_token_only_this_machine_and_addresses_are_names_for_it(database: str) -> None:
    async with alone(database) as w, browser(w) as session:
        for host, status in {"127.0.0.1:8081": 200, "localhost": 200, "[::1]:1": 200, "evil.example": 403}.items():
            async with session.get("/console", headers={"Host": host}) as response:
                assert response.status == status, host


@pytest.mark.parametrize(
    "headers", [{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "http://evil.example"}]
)
@pytest.mark.parametrize("path", ["/console/traces", "/console/session", "/console/session/end"])
async def test_other_sites_can_change_nothing(database: str, headers: dict[str, str], path: str) -> None:
    async with alone(database) as w, browser(w) as session:
        await w.offer()
        async with session.post(path, data={"offer": "demo"}, headers=headers) as response:
            assert response.status == 403
        assert not w.tracer.requests


async def test_the_page_may_run_nothing_but_its_own_files(database: str) -> None:
    async with alone(database) as w, browser(w) as session:
        async with session.get("/", allow_redirects=False) as response:
            assert (response.status, response.headers["Location"]) == (302, "/console")
        async with session.get("/console") as response:
            text = await response.text()
            policy = response.headers["Content-Security-Policy"]
        assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
        assert "unsafe" not in policy
        assert " style=" not in text
        assert "<script>" not in text
        for name in ("console.js", "console.css", "vendor/uPlot.iife.min.js", "icon.svg"):
            address = text.partition(f"/{name}")[0].rpartition('"')[2] + f"/{name}"
            async with session.get(address) as response:
                assert response.status == 200
                assert "immutable" in response.headers["Cache-Control"]
        async with session.get("/console/static/x/..%2f..%2fsettings.py") as response:
            assert response.status == 404


async def test_the_stream_tells_the_pool_first_whole_then_what_changes(database: str) -> None:
    async with with_pool(database) as (w, manager), browser(w) as session:
        await manager.provision(3)
        async with frames(session) as stream:
            first = await anext(stream)
            assert first["full"]
            assert first["version"] in (await (await session.get("/console")).text())
            cells = {one[0]: one for one in first["cells"]}
            async with asyncio.timeout(10):
                while len(cells) < 3:
                    cells |= {one[0]: one for one in (await anext(stream)).get("cells", [])}
            assert {one[4] for one in cells.values()} == {0}
            request = pool_pb2.LeaseRequest(request_id="r", ttl=times.to_duration(20))
            lease = (await manager.leases.Lease(request)).lease
            frame = await until(stream, "cells", lease.proxy.ip_address)
            assert [one[4] for one in frame["cells"]] == [1]
            await manager.leases.Release(
                pool_pb2.ReleaseRequest(lease_id=lease.lease_id, fence=lease.fence, outcome=pool_pb2.SUCCESS)
            )
            frame = await until(stream, "cells", lease.proxy.ip_address)
            (told,) = frame["cells"]
            assert told[4] == 2
            assert 25 < told[5] - frame["now"] < 31
            await manager.admin.DeleteProxies(pool_pb2.DeleteProxiesRequest(proxy_ids=[told[0]]))
            frame = await until(stream, "gone", str(told[0]))
            assert frame["gone"] == [told[0]]
            assert "<b>2</b> free" in frame["parts"]["legend"]


async def test_a_pool_that_is_gone_is_said(database: str) -> None:
    async with (
        alone(database) as w,
        browser(w) as session,
        frames(session) as stream,
    ):
        await until(stream, "parts", "The pool manager does not answer")


async def test_a_click_appears_when_it_is_answered_and_again_when_its_trace_ends(database: str) -> None:
    async with alone(database) as w, browser(w) as session:
        await w.offer(max_wait=times.to_duration(0.5))
        go_on = asyncio.Event()
        w.tracer.script = waits_for(go_on, lands_on("http://shop.example/"))
        async with frames(session) as stream:
            await anext(stream)
            reply = await w.click("offer=demo&gclid=1")
            await until(stream, "clicks", "trace goes on")
            await until(stream, "parts", "answered, tracing")
            async with session.get(f"/console/clicks/{reply.click_id}?fragment") as response:
                text = await response.text()
                assert "data-ended" not in text
                assert "track.example" in text, "the hop that was walked is there before the record is"
            go_on.set()
            frame = await until(stream, "clicks", "landed later")
            assert [click_id for click_id, _ in frame["clicks"]] == [reply.click_id]
        async with session.get("/console/clicks", params={"id": reply.click_id}) as response:
            text = await response.text()
            assert str(response.url).endswith(reply.click_id)
            assert "data-ended" in text
            assert "shop.example" in text
            assert "marker-secret" not in text, "that is the password of the proxy"


async def test_hostile_parameters_stay_text(database: str) -> None:
    async with alone(database) as w, browser(w) as session:
        await w.offer()
        w.tracer.script = lands_on("http://shop.example/l?x=<script>alert(1)</script>&y='\"><img>")
        async with frames(session) as stream:
            await anext(stream)
            reply = await w.click("offer=demo&gclid=1&z='<svg/onload=1>")
            await until(stream, "clicks", reply.click_id)
        await w.record_when(reply.click_id, lambda click: click.HasField("end_time"))
        async with session.get(f"/console/clicks/{reply.click_id}") as response:
            text = await response.text()
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
        for tag in ("<script>", "<img", "<svg/"):
            assert tag not in text


async def test_an_offer_is_traced_on_demand_and_the_trace_is_a_click_in_the_log(database: str) -> None:
    async with alone(database) as w, browser(w) as session:
        await w.offer()
        async with session.post(
            "/console/traces", data={"offer": "demo"}, headers={"Accept": "application/json"}
        ) as response:
            assert response.status == 201
            click_id = (await response.json())["click_id"]
        click = await w.record_when(click_id, lambda click: click.HasField("end_time"))
        assert (click.status, click.answer) == (pb.COMPLETED, pb.LANDING)
        assert click.inbound_query.startswith("offer=demo&gclid=console-")
        async with session.post("/console/traces", data={"offer": "demo"}, allow_redirects=False) as response:
            assert response.status == 303
            assert response.headers["Location"] != f"/console/clicks/{click_id}"
        assert len(w.tracer.requests) == 2 or await w.record(response.headers["Location"].rpartition("/")[2])


@pytest.mark.parametrize(
    ("offer", "status", "reason"), [("none", 404, "UNKNOWN_OFFER"), ("plain", 403, "TRACE_NOT_PERMITTED")]
)
async def test_an_offer_that_may_not_be_traced_is_not(database: str, offer: str, status: int, reason: str) -> None:
    async with alone(database) as w, browser(w) as session:
        await w.offer("plain", mode=pb.REDIRECT_ONLY)
        async with session.post(
            "/console/traces", data={"offer": offer}, headers={"Accept": "application/json"}
        ) as response:
            assert response.status == status
            assert (await response.json())["reason"] == reason
        assert not w.tracer.requests


async def test_a_size_is_computed_by_the_pool_manager(database: str) -> None:
    async with with_pool(database) as (w, manager), browser(w) as session:
        await manager.provision(4)
        query = {
            "clicks_per_second": "5",
            "trace_time": "10",
            "cooldown": "60",
            "target_loss": "0.01",
            "added_ips": "6",
        }
        async with session.get("/console/estimate", params=query) as response:
            answer = await response.json()
        assert answer["offered_load"] == 350
        assert answer["rule_of_thumb_ips"] == 525
        assert answer["present_ips"] == 10
        async with session.get("/console/estimate", params={"trace_time": "nan"}) as response:
            assert response.status == 400
            assert (await response.json())["violations"][0]["field"] == "trace_time"


async def test_streams_end_with_the_gateway(database: str) -> None:
    async with asyncio.timeout(30), aiohttp.ClientSession() as session:
        async with alone(database) as w:
            response = await session.get(f"http://127.0.0.1:{w.ports.internal}/console/events")
            await response.content.readline()
        await response.content.read()
        response.close()
