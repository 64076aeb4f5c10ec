"""Responses damaged at random end in typed stops; the seeds are fixed, so a failure repeats."""

import asyncio
import random

import pytest

from tests.integration.tracer.rig import Client
from tests.support.origin import Origin, Request, Wire, answer, page, redirect

SAMPLES = [
    redirect("/next?a=1"),
    answer(302, [("Location", "http://a.test/"), ("Set-Cookie", "a=b; Path=/; Domain=test"), ("Refresh", "0;url=/x")]),
    answer(200, [("Refresh", "1; url='/next'"), ("Content-Type", "text/html")], b"<p>x"),
    page('<base href="/b/"><meta http-equiv="refresh" content="0;url=next"><script>location = "/s";</script>'),
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: text/html\r\n\r\n5\r\n<p>ab\r\n0\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\nHTTP/1.1 302 F\r\nLocation: /n\r\nContent-Length: 0\r\n\r\n",
]
PIECES = [
    b"\r\n",
    b"\r\n\r\n",
    b"\0",
    b"\xff",
    b"HTTP/1.1 ",
    b"302",
    b":",
    b" ",
    b"\t",
    b"999999999999",
    b"-1",
    b"Location: ",
    b"Content-Length: 7\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Content-Encoding: gzip\r\n",
    b"%",
    b"'",
    b'"',
    b"<",
]


def damaged(chance: random.Random) -> bytes:
    """Returns a response with some of its bytes changed, cut out, doubled or put in."""
    response = bytearray(chance.choice(SAMPLES))
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(response) + 1)
        match chance.randrange(4):
            case 0:
                response[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                del response[at : at + chance.randint(1, 20)]
            case 2:
                response[at:at] = chance.choice(PIECES)
            case 3:
                response[at:at] = response[at : at + chance.randint(1, 40)]
    return bytes(response)


@pytest.mark.parametrize("seed", range(10))
async def test_damaged_responses_end_in_typed_stops(client: Client, seed: int) -> None:
    chance = random.Random(seed)
    stops: set[str] = set()

    async def respond(_request: Request, wire: Wire) -> None:
        await wire.send(damaged(chance))
        wire.close()

    async with Origin(respond) as origin:
        url = f"http://127.0.0.1:{origin.port}/"
        for _ in range(4):
            walks = await asyncio.gather(*(client.trace(url, max_hops=4, hop_timeout=2) for _ in range(25)))
            stops |= {walked.stop for walked in walks}
    assert "INTERNAL" not in stops
    assert "LANDING" in stops
    assert len(stops) > 1
