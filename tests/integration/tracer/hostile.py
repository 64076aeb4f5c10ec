"""Origins that mean harm or are broken: one for each row of bad_inputs that a tracer meets, by the row's id.

Each says how it answers, and how a walk that meets it must end.
"""

import asyncio
import base64
import gzip
import itertools
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tests.integration.tracer.rig import Client, Walked
from tests.support.origin import Origin, Request, Respond, Wire, answer, page, redirect

# 256 MiB of zeros in 211 bytes of brotli.
_BROTLI_BOMB = zlib.decompress(
    base64.b64decode(
        "eNo7//9//Q91hkcbHRS+/5v/////D/4MRxIZG979tQdyHs5n6DisxHD3d/2///8P2zMKtLMy7Pr+/8///+31TAp83Awl7////P+f/z+Lg4wYw4t7"
        "/z///y//j7PBQofhwt7/z///t/8jzFAYwbCg+v95qEUbGBxwWcREFYvsAcFdegc="
    )
)


@dataclass(frozen=True)
class Hostile:
    """One hostile origin."""

    respond: Respond
    stops: frozenset[str]
    """The stops that are right."""
    hops: int | None = None
    """How many hops are reported; None if it does not matter."""
    hop_timeout: float = 5
    max_hops: int = 8
    error: str = ""
    """The error of the last hop."""

    async def meet(self, client: Client, origin: Origin) -> Walked:
        """Takes a walk into an origin that behaves so."""
        url = f"http://127.0.0.1:{origin.port}/start"
        return await client.trace(url, hop_timeout=self.hop_timeout, max_hops=self.max_hops)


def _ends(respond: Respond, *stops: str, **more: object) -> Hostile:
    return Hostile(respond, frozenset(stops), **more)  # type: ignore[arg-type]


def _always(response: bytes) -> Respond:
    """Answers every request alike."""

    async def respond(_request: Request, _wire: Wire) -> bytes:
        return response

    return respond


def _first(response: bytes, *, then_close: bool = False) -> Respond:
    """Answers the first request so, and those for other paths with a landing page."""

    async def respond(request: Request, wire: Wire) -> bytes | None:
        if request.path != "/start":
            return page("landed")
        await wire.send(response)
        if then_close:
            wire.close()
        return None

    return respond


def _numbered(make: Callable[[int], bytes]) -> Respond:
    async def respond(request: Request, _wire: Wire) -> bytes:
        tail = request.path.rpartition("/")[2]
        return make(int(tail) if tail.isdigit() else 0)

    return respond


def _endless(head: bytes, part: bytes) -> Respond:
    """Sends a head, then the same bytes for ever, until the other side has gone."""

    async def respond(request: Request, wire: Wire) -> bytes | None:
        if request.path == "/end":
            return page("landed")
        await wire.send(head)
        while True:
            await wire.send(part)

    return respond


def _drop_by_drop(head: bytes, part: bytes, pause: float) -> Respond:
    """Sends a head, then bytes so slowly that they never end."""

    async def respond(_request: Request, wire: Wire) -> bytes | None:
        await wire.send(head)
        for _ in itertools.count():
            await wire.send(part)
            await asyncio.sleep(pause)
        return None

    return respond


async def _silent(_request: Request, wire: Wire) -> None:
    await wire.gone()


async def _half_close(request: Request, wire: Wire) -> bytes | None:
    if request.path != "/start":
        return page("landed")
    await wire.send(b"HTTP/1.1 302 Found\r\nLocation: /end\r\n\r\n")
    wire.writer.write_eof()
    await wire.gone()
    return None


_GZIP_MEMBER = gzip.compress(bytes(8 << 20), 9)


async def _gzip_bomb(_request: Request, wire: Wire) -> None:
    await wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Encoding: gzip\r\n\r\n")
    for _ in range(1280):
        await wire.send(_GZIP_MEMBER)
    wire.close()


def _mixed(number: int) -> bytes:
    following = f"/{number + 1}"
    return [
        redirect(following, 301),
        page(f'<meta http-equiv="refresh" content="0;url={following}">'),
        answer(200, [("Refresh", f"0;url={following}")]),
        redirect(following, 307),
    ][number % 4]


def _html(encoding: str, body: bytes) -> bytes:
    return answer(200, [("Content-Type", "text/html"), ("Content-Encoding", encoding)], body)


_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"

ORIGINS: Mapping[str, Hostile] = {
    "loop-two": _ends(_numbered(lambda number: redirect(f"/{1 - number % 2}")), "MAX_HOPS", hops=8),
    "loop-100k": _ends(_numbered(lambda number: redirect(f"/{number + 1}")), "MAX_HOPS", hops=8),
    "loop-meta": _ends(
        _numbered(lambda number: page(f'<meta http-equiv="refresh" content="0;url=/{number + 1}">')),
        "MAX_HOPS",
        hops=8,
    ),
    "loop-mixed": _ends(_numbered(_mixed), "MAX_HOPS", hops=8),
    "origin-body-inf": _ends(
        _endless(b"HTTP/1.1 302 Found\r\nLocation: /end\r\n\r\n", bytes(65536)), "LANDING", hops=2
    ),
    "origin-body-slow": _ends(
        _drop_by_drop(_HEAD + b"Content-Length: 1000\r\n\r\n", b"x", 0.05), "HOP_TIMEOUT", hop_timeout=0.3
    ),
    "origin-hdr-slow": _ends(_drop_by_drop(b"HTTP/1.1 200 OK\r\nX: ", b"y", 0.05), "HOP_TIMEOUT", hop_timeout=0.3),
    "origin-gz-bomb": _ends(_gzip_bomb, "LANDING", hops=1),
    "origin-zstd-bomb": _ends(_always(_html("zstd", bytes(16384))), "LANDING", error="BODY_UNDECODABLE"),
    "origin-br-bomb": _ends(_always(_html("br", _BROTLI_BOMB)), "LANDING", hops=1),
    "origin-gz-nested": _ends(_always(_html(", ".join(["gzip"] * 100), b"x")), "PROTOCOL_ERROR"),
    "origin-cl-neg": _ends(_first(b"HTTP/1.1 302 F\r\nLocation: /end\r\nContent-Length: -1\r\n\r\n"), "PROTOCOL_ERROR"),
    "origin-cl-two": _ends(
        _first(b"HTTP/1.1 302 F\r\nLocation: /end\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx"),
        "PROTOCOL_ERROR",
    ),
    "origin-cl-te": _ends(
        _first(
            b"HTTP/1.1 302 F\r\nLocation: /end\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        "LANDING",
        hops=2,
    ),
    "origin-cl-short": _ends(
        _first(_HEAD + b"Content-Length: 100\r\n\r\n<p>cut", then_close=True), "LANDING", hops=1, error="BODY_TRUNCATED"
    ),
    "origin-cl-short-redirect": _ends(
        _first(b"HTTP/1.1 302 F\r\nLocation: /end\r\nContent-Length: 100\r\n\r\ncut", then_close=True),
        "LANDING",
        hops=2,
    ),
    "origin-http09": _ends(_first(b"<html>hello</html>\r\n", then_close=True), "PROTOCOL_ERROR"),
    "origin-http2pref": _ends(_first(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", then_close=True), "PROTOCOL_ERROR"),
    "origin-101": _ends(
        _first(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"), "LANDING", hops=1
    ),
    "origin-silent": _ends(_silent, "HOP_TIMEOUT", hop_timeout=0.3),
    "origin-half": _ends(_half_close, "LANDING", hops=2),
    "origin-ct-lie": _ends(_endless(_HEAD + b"\r\n", bytes(65536)), "LANDING", hops=1),
    "loc-two": _ends(_first(answer(302, [("Location", "/a"), ("Location", "/b")])), "CONFLICTING_LOCATION", hops=1),
    "loc-none": _ends(_first(answer(302)), "LANDING", hops=1),
    "loc-on200": _ends(_first(answer(200, [("Location", "/a")])), "LANDING", hops=1),
    "loc-on201": _ends(_first(answer(201, [("Location", "/a")])), "LANDING", hops=1),
    "loc-on304": _ends(_first(b"HTTP/1.1 304 N\r\nLocation: /a\r\n\r\n"), "LANDING", hops=1),
    "loc-long1m": _ends(_first(redirect("/" + "a" * (1 << 20))), "HEADERS_TOO_LARGE", "URL_TOO_LARGE", hops=1),
    "loc-long64k": _ends(_first(redirect("/" + "a" * (64 * 1024))), "URL_TOO_LARGE", hops=1),
    "loc-ctl": _ends(
        _first(redirect(b"/x" + bytes(set(range(1, 32)) - {10, 13}) + b"y")), "LANDING", "INVALID_LOCATION"
    ),
    "loc-surr": _ends(_first(redirect(b"/x\xed\xa0\x80y")), "LANDING", hops=2),
    "loc-pct": _ends(_first(redirect("/%zz%")), "LANDING", hops=2),
    "loc-port0": _ends(_first(redirect("http://a.test:0/")), "CONNECTION_ERROR", "LANDING"),
    "loc-port99999": _ends(_first(redirect("http://example.com:99999/")), "INVALID_LOCATION", hops=1),
    "loc-hostspace": _ends(_first(redirect("http://exa mple.com/")), "INVALID_LOCATION", hops=1),
    "loc-badpuny": _ends(_first(redirect("http://xn--\u0142/")), "INVALID_LOCATION", "LANDING", "REFUSED_TARGET"),
    "headers-many": _ends(
        _first(b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: %s\r\n" % (n, b"v" * 900) for n in range(400)) + b"\r\n"),
        "HEADERS_TOO_LARGE",
    ),
    "informational-endless": _ends(
        _endless(b"", b"HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n" * 100), "HEADERS_TOO_LARGE"
    ),
    "location-nul": _ends(_first(redirect(b"/a\x00b")), "PROTOCOL_ERROR"),
    "meta-deep": _ends(_first(page("<div>" * 60_000)), "LANDING", hops=1),
    "meta-many": _ends(_first(page('<meta http-equiv="refresh" content="x">' * 10_000)), "LANDING", hops=1),
    "script-brackets": _ends(_first(page("<script>" + "({[" * 9_000 + "location='/x'</script>")), "LANDING", hops=1),
    "cookies-many": _ends(
        _first(answer(302, [("Location", "/end"), *(("Set-Cookie", f"c{n}={'v' * 200}") for n in range(1000))])),
        "LANDING",
        hops=2,
    ),
}
"""Those whose id is in bad_inputs are its rows; the others are our own."""
