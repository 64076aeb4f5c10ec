"""No origin, however broken or hostile, makes a walk end in anything but a typed stop, within its bounds.

Covers the rows of bad_inputs that a tracer meets; a test checks that none is left out.
"""

import pytest

from libs.common.target_policy.policy import TargetPolicy
from tests.integration.tracer import outside
from tests.integration.tracer.hostile import ORIGINS
from tests.integration.tracer.outside import Row
from tests.integration.tracer.rig import Client, http_proxy, serving
from tests.support.origin import Origin, Request, Wire, answer, page, redirect
from tests.support.scripted_proxy import ForwardProxy

# Rows that have a test of their own below or in another file, where more than one origin is needed.
ELSEWHERE = {
    "ssrf-nip": "test_dialling",
    "ssrf-rebind": "test_dialling",
    "ssrf-multi-a": "test_dialling",
    "ssrf-cname": "test_dialling",
    "ssrf-noproxy": "test_proxies",
    "ssrf-nodirect": "test_proxies",
    "origin-alt-svc": "here",
    "origin-cookie-sup": "here",
    "origin-cookie-other": "here",
    "origin-cookie-sec": "here",
    "proxy-connect-407": "test_proxies",
    "proxy-connect-inf": "test_proxies",
    "proxy-socks-stall": "test_proxies",
    "proxy-socks-trunc": "test_proxies",
    "proxy-socks-longhost": "test_proxies",
    "proxy-dies-mid": "test_proxies",
    "proxy-slow": "test_proxies",
    "proxy-loop": "the pool refuses such a proxy when it is provisioned",
}


@pytest.mark.parametrize("identity", ORIGINS)
async def test_a_hostile_origin_ends_in_a_typed_stop(client: Client, identity: str) -> None:
    hostile = ORIGINS[identity]
    async with Origin(hostile.respond) as origin:
        walked = await hostile.meet(client, origin)
        await origin.until(lambda: origin.open == 0)
    assert walked.stop in hostile.stops, walked.result
    assert hostile.hops in {None, len(walked.hops)}
    if hostile.error:
        assert walked.hops[-1].error == hostile.error
    if walked.stop != "LANDING":
        assert walked.result.failure.target_reached
        assert walked.blame == ("CALLER" if walked.stop == "MAX_HOPS" else "TARGET")


async def test_content_length_beside_chunked_makes_a_connection_not_to_be_reused(client: Client) -> None:
    async with Origin(ORIGINS["origin-cl-te"].respond) as origin:
        await ORIGINS["origin-cl-te"].meet(client, origin)
    assert [request.connection for request in origin.requests] == [1, 2]


async def test_a_url_that_is_too_long_is_told_as_far_as_it_may_be(client: Client) -> None:
    parts = "&a" * 200_000

    async def respond(_request: Request, _wire: Wire) -> bytes:
        return page(f'<meta http-equiv="refresh" content="0;url=/?{parts}">')

    async with Origin(respond) as origin:
        walked = await client.trace(f"http://127.0.0.1:{origin.port}/")
    assert walked.stop == "URL_TOO_LARGE"
    assert len(walked.result.final_url) == len(walked.hops[0].next_url) == 64 * 1024


async def test_a_location_that_is_no_proper_escape_is_sent_unchanged(client: Client) -> None:
    async with Origin(ORIGINS["loc-pct"].respond) as origin:
        await ORIGINS["loc-pct"].meet(client, origin)
    assert origin.requests[1].target == "/%zz%"


async def test_alt_svc_and_hsts_lead_nowhere_else(client: Client) -> None:
    async def respond(request: Request, _wire: Wire) -> bytes:
        if request.path == "/start":
            return answer(
                302,
                [
                    ("Location", "http://a.test/end"),
                    ("Alt-Svc", 'h2="evil.test:443"; ma=3600'),
                    ("Strict-Transport-Security", "max-age=31536000; includeSubDomains"),
                ],
            )
        return page("landed")

    async with Origin(respond) as origin, ForwardProxy(origin) as proxy:
        walked = await client.trace("http://a.test/start", http_proxy(proxy.port))
    assert walked.stop == "LANDING"
    assert [request.target for request in origin.requests] == ["/start", "/end"]
    assert [request.target for request in proxy.requests] == ["a.test:80"]


@pytest.mark.parametrize(
    ("cookie", "start", "following"),
    [
        pytest.param("a=b; Domain=com", "http://one.com/", "http://two.com/", id="origin-cookie-sup"),
        pytest.param("a=b; Domain=co.uk", "http://one.co.uk/", "http://two.co.uk/", id="a-suffix-of-two-labels"),
        pytest.param("a=b; Domain=github.io", "http://x.github.io/", "http://y.github.io/", id="a-private-suffix"),
        pytest.param("a=b; Domain=other.test", "http://a.test/", "http://other.test/", id="origin-cookie-other"),
        pytest.param("a=b; Secure", "http://a.test/", "http://a.test/2", id="origin-cookie-sec"),
        pytest.param("a=b; Path=/deep", "http://a.test/", "http://a.test/2", id="a-path-elsewhere"),
        pytest.param("a=b", "http://a.test/", "http://sub.a.test/", id="host-only"),
    ],
)
async def test_a_cookie_goes_nowhere_it_may_not(client: Client, cookie: str, start: str, following: str) -> None:
    async def respond(_request: Request, _wire: Wire) -> bytes:
        if len(origin.requests) == 1:
            return answer(302, [("Location", following), ("Set-Cookie", cookie)])
        return page("landed")

    async with Origin(respond) as origin, ForwardProxy(origin) as proxy:
        walked = await client.trace(start, http_proxy(proxy.port))
    assert walked.stop == "LANDING"
    assert origin.requests[1].header("cookie") is None
    assert list(walked.hops[0].set_cookie_names) == ["a"]


async def test_a_cookie_of_a_domain_reaches_its_subdomains(client: Client) -> None:
    async def respond(_request: Request, _wire: Wire) -> bytes:
        if len(origin.requests) == 1:
            return answer(302, [("Location", "http://b.one.co.uk/"), ("Set-Cookie", "a=b; Domain=one.co.uk")])
        return page("landed")

    async with Origin(respond) as origin, ForwardProxy(origin) as proxy:
        await client.trace("http://a.one.co.uk/", http_proxy(proxy.port))
    assert origin.requests[1].header("cookie") == "a=b"


def _locations(prefix: str) -> list[object]:
    rows = outside.rows("bad_inputs")
    return [
        pytest.param(row, id=row["id"])
        for row in rows
        if row["surface"] == "tracer.location" and row["id"].startswith(prefix) and row["id"] not in ELSEWHERE
    ]


@outside.needed
@pytest.mark.parametrize("row", _locations("ssrf-"))
@pytest.mark.parametrize("way", ["entry", "location", "refresh", "meta", "script"])
async def test_a_target_that_is_not_public_is_refused(row: Row, way: str) -> None:
    target = row["input"].partition(" (")[0]
    first = {
        "entry": page("never asked for"),
        "location": redirect(target),
        "refresh": answer(200, [("Refresh", f"0;url={target}".encode())]),
        "meta": page(f'<meta http-equiv="refresh" content="0;url={target}">'),
        "script": page(f'<script>location = "{target}";</script>'),
    }[way]

    async def respond(_request: Request, _wire: Wire) -> bytes:
        return first

    async with serving(targets=TargetPolicy()) as rig, Origin(respond) as origin, ForwardProxy(origin) as proxy:
        if way == "entry" and row["id"] == "ssrf-llzone":
            return  # No URL, so no request to begin with; test_requests has such.
        walked = await rig.client.trace(target if way == "entry" else "http://a.test/", http_proxy(proxy.port))
        assert proxy.connections == len(origin.requests) == (0 if way == "entry" else 1)
    if row["id"] == "ssrf-llzone":
        assert walked.stop in {"INVALID_LOCATION", "LANDING"}
        return
    assert walked.stop == "REFUSED_TARGET"
    assert walked.blame == "TARGET"
    assert walked.result.failure.target_reached is (way != "entry")
    if way != "entry":
        assert walked.hops[0].next_url == walked.result.final_url


@outside.needed
@pytest.mark.parametrize("row", _locations("scheme-"))
async def test_another_scheme_ends_the_chain_and_is_reported(client: Client, row: Row) -> None:
    async def respond(_request: Request, _wire: Wire) -> bytes:
        return redirect(row["input"])

    async with Origin(respond) as origin:
        walked = await client.trace(f"http://127.0.0.1:{origin.port}/")
        assert len(origin.requests) == 1
    app = row["id"] in {"scheme-market", "scheme-itms"}
    assert walked.stop == ("APP_LINK" if app else "UNSUPPORTED_SCHEME")
    assert walked.result.final_url == walked.hops[0].next_url != ""
    assert walked.result.HasField("failure") is not app


@outside.needed
def test_no_row_is_left_out() -> None:
    rows = [row for row in outside.rows("bad_inputs") if row["surface"].startswith("tracer.")]
    covered = {*ORIGINS, *ELSEWHERE}
    left_out = [
        row["id"] for row in rows if row["id"] not in covered and not row["id"].startswith(("ssrf-", "scheme-"))
    ]
    assert left_out == []
