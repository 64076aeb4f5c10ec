"""The next hop shows the cookies that a browser would show, whatever libcurl makes of their lifetimes."""

import pytest

from tests.integration.tracer.rig import Client, http_proxy
from tests.support.origin import Origin, Request, Wire, answer, page
from tests.support.scripted_proxy import ForwardProxy
from tests.unit.tracer.fetch.test_cookies import HEADERS


async def shown(client: Client, *set_cookies: str, start: str = "/dir/start", end: str = "/dir/end") -> str | None:
    """Returns the Cookie header of the second hop."""

    async def respond(request: Request, _wire: Wire) -> bytes:
        if request.path == start:
            return answer(302, [("Location", end), *(("Set-Cookie", cookie) for cookie in set_cookies)])
        return page("landed")

    async with Origin(respond) as origin, ForwardProxy(origin) as proxy:
        walked = await client.trace(f"http://a.b.test{start}", http_proxy(proxy.port))
    assert walked.stop == "LANDING"
    return origin.requests[-1].header("cookie")


@pytest.mark.parametrize("header", HEADERS)
async def test_a_cookie_lives_as_long_as_the_standard_says(client: Client, header: str) -> None:
    assert await shown(client, header) == ("c=1" if HEADERS[header] else None)


async def test_the_last_of_one_name_stays(client: Client) -> None:
    assert await shown(client, "c=1; Max-Age=+3600", "c=2") == "c=2"
    assert await shown(client, "c=1", "c=2; Max-Age=+3600") == "c=2"
    assert await shown(client, "c=1", "c=2; Expires=Thu, 01-Jan-70 00:00:01 GMT") is None


async def test_a_corrected_cookie_keeps_its_bounds(client: Client) -> None:
    assert await shown(client, "c=1; Max-Age=+3600; Path=/other") is None
    assert await shown(client, "c=1; Max-Age=+3600; Path=/") == "c=1"
    # Without a path it holds for the directory of the URL that set it.
    assert await shown(client, "c=1; Max-Age=+3600", end="/elsewhere") is None
    assert await shown(client, "c=1; Max-Age=+3600; Domain=other.test") is None
    assert await shown(client, "c=1; Max-Age=+3600; Domain=b.test") == "c=1"
