"""Whatever a proxy does, the stop, the reason, the blame and `target_reached` are right, and its secrets stay its own.

`target_reached` is what allows another IP to be tried, so each case says whether any origin may have seen a request.
"""

import base64
import re
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import pytest

from clicktrace.common.v1 import common_pb2
from clicktrace.tracer.v1 import tracer_pb2 as pb
from tests.integration.tracer.rig import (
    PROXY_PASSWORD,
    PROXY_USER,
    Client,
    Walked,
    http_proxy,
    server_tls,
)
from tests.support.origin import Origin, RawServer, Request, Wire, answer, page, redirect
from tests.support.scripted_proxy import ForwardProxy, Intercept, SocksProxy, SocksScript

STALL = 0.3


@dataclass(frozen=True)
class Verdict:
    """How a walk ended."""

    stop: str
    reason: str
    blame: str
    reached: bool


def verdict(walked: Walked) -> Verdict:
    failure = walked.result.failure
    return Verdict(walked.stop, failure.reason, walked.blame, failure.target_reached)


def timeout(expected: Verdict) -> float:
    """Returns how long a hop may take: short only where running out of it is what is expected."""
    return STALL if expected.stop == "HOP_TIMEOUT" else 10


async def landing(_request: Request, _wire: Wire) -> bytes:
    return page("landed")


class Mute(RawServer):
    """Accepts and says nothing."""

    async def serve(self, wire: Wire, connection: int) -> None:  # noqa: ARG002
        await wire.gone()


class Abrupt(RawServer):
    """Accepts and closes at once."""

    async def serve(self, wire: Wire, connection: int) -> None:  # noqa: ARG002
        await wire.reader.read(1)
        wire.reset()


def says(response: bytes, *, close: bool = False) -> Intercept:
    """Answers the first request to the proxy so."""

    async def intercept(_request: Request, wire: Wire) -> bool:
        await wire.send(response)
        if not close:
            await wire.gone()
        return True

    return intercept


async def resets(_request: Request, wire: Wire) -> bool:
    wire.reset()
    return True


async def stalls(_request: Request, wire: Wire) -> bool:
    await wire.gone()
    return True


async def endless_headers(_request: Request, wire: Wire) -> bool:
    await wire.send(b"HTTP/1.1 200 OK\r\n")
    while True:
        await wire.send(b"X-More: " + b"v" * 1000 + b"\r\n")


CHALLENGE = ("Proxy-Authenticate", "Basic realm=proxy")
CONNECT_CASES = {
    "407": (says(answer(407, [CHALLENGE])), Verdict("PROXY_ERROR", "PROXY_AUTH_REQUIRED", "PROXY", False)),
    "401": (says(answer(401)), Verdict("PROXY_ERROR", "PROXY_AUTH_REQUIRED", "PROXY", False)),
    "403": (says(answer(403)), Verdict("PROXY_ERROR", "PROXY_CONNECT_REFUSED", "UNCLEAR", False)),
    "429": (says(answer(429)), Verdict("PROXY_ERROR", "PROXY_CONNECT_REFUSED", "UNCLEAR", False)),
    "503": (says(answer(503)), Verdict("PROXY_ERROR", "PROXY_CONNECT_REFUSED", "UNCLEAR", False)),
    "502": (says(answer(502)), Verdict("CONNECTION_ERROR", "PROXY_CANNOT_REACH_TARGET", "UNCLEAR", False)),
    "504": (says(answer(504)), Verdict("CONNECTION_ERROR", "PROXY_CANNOT_REACH_TARGET", "UNCLEAR", False)),
    "redirect": (
        says(answer(302, [("Location", "http://evil.test/")])),
        Verdict("PROXY_ERROR", "PROXY_CONNECT_REFUSED", "UNCLEAR", False),
    ),
    "500": (says(answer(500)), Verdict("PROXY_ERROR", "PROXY_CONNECT_REFUSED", "UNCLEAR", False)),
    "522": (says(answer(522)), Verdict("PROXY_ERROR", "PROXY_CONNECT_REFUSED", "UNCLEAR", False)),
    "100-first": (
        says(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"),
        Verdict("PROXY_ERROR", "PROXY_PROTOCOL_ERROR", "PROXY", False),
    ),
    "200-with-body": (
        says(answer(200, body=b"Connection established")),
        Verdict("PROXY_ERROR", "PROXY_PROTOCOL_ERROR", "PROXY", False),
    ),
    "garbage": (says(b"SSH-2.0-proxy\r\n\r\n"), Verdict("PROXY_ERROR", "PROXY_PROTOCOL_ERROR", "PROXY", False)),
    "closes": (says(b"", close=True), Verdict("PROXY_ERROR", "PROXY_CONNECTION_CLOSED", "UNCLEAR", False)),
    "resets": (resets, Verdict("PROXY_ERROR", "PROXY_CONNECTION_CLOSED", "UNCLEAR", False)),
    "stalls": (stalls, Verdict("HOP_TIMEOUT", "PROXY_TUNNEL_TIMEOUT", "UNCLEAR", False)),
    "endless-headers": (endless_headers, Verdict("PROXY_ERROR", "PROXY_PROTOCOL_ERROR", "PROXY", False)),
}


@pytest.mark.parametrize("protocol", [common_pb2.HTTP, common_pb2.HTTPS])
@pytest.mark.parametrize("case", CONNECT_CASES)
async def test_connect(client: Client, case: str, protocol: common_pb2.Protocol) -> None:
    intercept, expected = CONNECT_CASES[case]
    tls = server_tls() if protocol == common_pb2.HTTPS else None
    async with Origin(landing, tls=server_tls()) as origin, ForwardProxy(origin, intercept=intercept, tls=tls) as proxy:
        walked = await client.trace("https://a.test/", http_proxy(proxy.port, protocol), hop_timeout=timeout(expected))
        assert origin.connections == 0
    assert verdict(walked) == expected
    assert [hop.status for hop in walked.hops] == [0]
    assert walked.hops[0].error == expected.reason
    assert walked.hops[0].tls_version == ""


TUNNEL_CASES = {
    "407": (says(answer(407, [CHALLENGE])), Verdict("PROXY_ERROR", "PROXY_AUTH_REQUIRED", "PROXY", False)),
    "502": (says(answer(502)), Verdict("CONNECTION_ERROR", "PROXY_CANNOT_REACH_TARGET", "UNCLEAR", False)),
    "garbage": (says(b"SSH-2.0-proxy\r\n\r\n"), Verdict("PROXY_ERROR", "PROXY_PROTOCOL_ERROR", "PROXY", False)),
    "closes": (says(b"", close=True), Verdict("PROXY_ERROR", "PROXY_CONNECTION_CLOSED", "UNCLEAR", False)),
    "stalls": (stalls, Verdict("HOP_TIMEOUT", "PROXY_TUNNEL_TIMEOUT", "UNCLEAR", False)),
    # Some proxies accept CONNECT before they connect, so only the first byte of a response proves the target.
    "200-then-closes": (
        says(b"HTTP/1.1 200 OK\r\n\r\n", close=True),
        Verdict("CONNECTION_ERROR", "CONNECTION_CLOSED", "UNCLEAR", True),
    ),
    "200-then-silence": (
        says(b"HTTP/1.1 200 OK\r\n\r\n"),
        Verdict("HOP_TIMEOUT", "RESPONSE_TIMEOUT", "UNCLEAR", True),
    ),
    "200-with-body": (
        says(answer(200, body=b"Connection established")),
        Verdict("PROXY_ERROR", "PROXY_PROTOCOL_ERROR", "PROXY", True),
    ),
    "200-then-garbage": (
        says(b"HTTP/1.1 200 OK\r\n\r\nSSH-2.0-target\r\n\r\n"),
        Verdict("PROTOCOL_ERROR", "MALFORMED_RESPONSE", "TARGET", True),
    ),
}


@pytest.mark.parametrize("case", TUNNEL_CASES)
async def test_a_plain_request_through_a_tunnel(client: Client, case: str) -> None:
    intercept, expected = TUNNEL_CASES[case]
    async with Origin(landing) as origin, ForwardProxy(origin, intercept=intercept) as proxy:
        walked = await client.trace("http://a.test/", http_proxy(proxy.port), hop_timeout=timeout(expected))
        assert [request.target for request in proxy.requests] == ["a.test:80"]
        assert origin.connections == 0
    assert verdict(walked) == expected
    assert walked.result.failure.target_host == "a.test"


SOCKS_REPLIES = {
    1: Verdict("PROXY_ERROR", "SOCKS_GENERAL_FAILURE", "UNCLEAR", False),
    2: Verdict("PROXY_ERROR", "SOCKS_NOT_ALLOWED", "UNCLEAR", False),
    3: Verdict("CONNECTION_ERROR", "SOCKS_NETWORK_UNREACHABLE", "TARGET", False),
    4: Verdict("CONNECTION_ERROR", "SOCKS_HOST_UNREACHABLE", "TARGET", False),
    5: Verdict("CONNECTION_ERROR", "SOCKS_CONNECTION_REFUSED", "TARGET", False),
    6: Verdict("CONNECTION_ERROR", "SOCKS_TTL_EXPIRED", "TARGET", False),
    7: Verdict("PROXY_ERROR", "SOCKS_COMMAND_NOT_SUPPORTED", "PROXY", False),
    8: Verdict("PROXY_ERROR", "SOCKS_ADDRESS_TYPE_NOT_SUPPORTED", "PROXY", False),
    9: Verdict("PROXY_ERROR", "PROXY_PROTOCOL_ERROR", "PROXY", False),
}


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("reply", SOCKS_REPLIES)
async def test_every_reply_of_a_socks_proxy(client: Client, reply: int, scheme: str) -> None:
    async with Origin(landing) as origin, SocksProxy(origin, SocksScript(reply=reply)) as proxy:
        walked = await client.trace(f"{scheme}://a.test/", http_proxy(proxy.port, common_pb2.SOCKS5))
        assert origin.connections == 0
    assert verdict(walked) == SOCKS_REPLIES[reply]


async def _stall_on(wire: Wire) -> bool:
    await wire.gone()
    return True


async def _cut_short(wire: Wire) -> bool:
    await wire.send(b"\x05\x00\x00")
    return True


async def _closes(wire: Wire) -> bool:
    await wire.reader.read(1)
    wire.close()
    return True


async def _ends(wire: Wire) -> bool:
    wire.close()
    return True


async def _not_socks(wire: Wire) -> bool:
    await wire.reader.read(1)
    await wire.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    await wire.gone()
    return True


SOCKS_SCRIPTS = {
    "greeting-stalls": (SocksScript(greet=_stall_on), Verdict("HOP_TIMEOUT", "PROXY_TUNNEL_TIMEOUT", "PROXY", False)),
    "reply-stalls": (SocksScript(respond=_stall_on), Verdict("HOP_TIMEOUT", "PROXY_TUNNEL_TIMEOUT", "UNCLEAR", False)),
    "reply-cut": (SocksScript(respond=_cut_short), Verdict("PROXY_ERROR", "PROXY_PROTOCOL_ERROR", "UNCLEAR", False)),
    "reply-missing": (SocksScript(respond=_ends), Verdict("PROXY_ERROR", "PROXY_PROTOCOL_ERROR", "UNCLEAR", False)),
    "greeting-missing": (SocksScript(greet=_closes), Verdict("PROXY_ERROR", "PROXY_PROTOCOL_ERROR", "PROXY", False)),
    "not-socks": (SocksScript(greet=_not_socks), Verdict("PROXY_ERROR", "PROXY_PROTOCOL_ERROR", "PROXY", False)),
    "wants-credentials": (
        SocksScript(credentials=(b"someone", b"else")),
        Verdict("PROXY_ERROR", "PROXY_AUTH_REQUIRED", "PROXY", False),
    ),
}


@pytest.mark.parametrize("credentials", [False, True])
@pytest.mark.parametrize("case", SOCKS_SCRIPTS)
async def test_a_socks_proxy_that_fails(client: Client, case: str, credentials: bool) -> None:
    script, expected = SOCKS_SCRIPTS[case]
    async with Origin(landing) as origin, SocksProxy(origin, script) as proxy:
        proxied = http_proxy(proxy.port, common_pb2.SOCKS5, credentials=credentials)
        walked = await client.trace("https://a.test/", proxied, hop_timeout=timeout(expected))
    assert verdict(walked) == expected


async def test_a_name_too_long_for_socks(client: Client) -> None:
    host = ".".join(["a" * 60] * 5) + ".test"
    async with Origin(landing) as origin, SocksProxy(origin) as proxy:
        walked = await client.trace(f"http://{host}/", http_proxy(proxy.port, common_pb2.SOCKS5))
        assert proxy.script.targets == []
    assert verdict(walked) == Verdict("CONNECTION_ERROR", "PROXY_HOST_TOO_LONG", "TARGET", False)


async def test_socks_resolves_names_itself_and_takes_credentials(client: Client) -> None:
    script = SocksScript(credentials=(PROXY_USER.encode(), PROXY_PASSWORD.encode()))
    async with Origin(landing) as origin, SocksProxy(origin, script) as proxy:
        walked = await client.trace(
            "http://never-resolved.test/", http_proxy(proxy.port, common_pb2.SOCKS5, credentials=True)
        )
    assert walked.stop == "LANDING"
    assert [(target.host, target.address_type) for target in script.targets] == [("never-resolved.test", 3)]
    assert all(PROXY_PASSWORD.encode() not in request.raw for request in origin.requests)


async def test_a_proxy_that_is_not_there(client: Client) -> None:
    async with Mute() as gone:
        port = gone.port
    for protocol in (common_pb2.HTTP, common_pb2.HTTPS, common_pb2.SOCKS5):
        walked = await client.trace("http://a.test/", http_proxy(port, protocol))
        assert verdict(walked) == Verdict("PROXY_ERROR", "PROXY_CONNECTION_FAILED", "PROXY", False)


async def test_a_proxy_whose_name_has_no_address(client: Client) -> None:
    proxy = common_pb2.Proxy(ip_address="no-such-proxy.invalid", ip_port=8080)
    walked = await client.trace("http://a.test/", proxy)
    assert verdict(walked) == Verdict("PROXY_ERROR", "PROXY_NAME_UNRESOLVED", "UNCLEAR", False)


@pytest.mark.parametrize(
    ("certificate", "reason"),
    [("expired", "PROXY_TLS_CERTIFICATE_EXPIRED"), ("self_signed", "PROXY_TLS_CERTIFICATE_SELF_SIGNED")],
)
async def test_tls_to_a_proxy_that_cannot_be_trusted(client: Client, certificate: str, reason: str) -> None:
    """Accepting any certificate of an origin says nothing of the proxy, which gets our credentials."""
    async with Origin(landing) as origin, ForwardProxy(origin, tls=server_tls(certificate)) as proxy:
        proxied = http_proxy(proxy.port, common_pb2.HTTPS, credentials=True)
        walked = await client.trace("https://a.test/", proxied, policy=pb.Policy(allow_insecure_tls=True))
        assert proxy.requests == []
    assert verdict(walked) == Verdict("PROXY_ERROR", reason, "PROXY", False)


async def test_an_https_proxy_that_speaks_no_tls(client: Client) -> None:
    async with Abrupt() as proxy:
        walked = await client.trace("https://a.test/", http_proxy(proxy.port, common_pb2.HTTPS))
    assert verdict(walked) == Verdict("PROXY_ERROR", "PROXY_TLS_HANDSHAKE_FAILED", "PROXY", False)


async def test_an_https_proxy_that_stalls_in_the_handshake(client: Client) -> None:
    async with Mute() as proxy:
        walked = await client.trace("https://a.test/", http_proxy(proxy.port, common_pb2.HTTPS), hop_timeout=STALL)
    assert verdict(walked) == Verdict("HOP_TIMEOUT", "PROXY_TUNNEL_TIMEOUT", "PROXY", False)


@contextmanager
def full_port() -> Iterator[int]:
    """Yields a port whose queue of connections is full, so that the kernel answers no further one."""
    with socket.socket() as listening, ExitStack() as waiting:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        while True:
            client = waiting.enter_context(socket.socket())
            client.settimeout(0.2)
            try:
                client.connect(listening.getsockname())
            except TimeoutError:
                break
        yield listening.getsockname()[1]


@pytest.mark.parametrize("protocol", [common_pb2.HTTP, common_pb2.HTTPS, common_pb2.SOCKS5])
async def test_a_proxy_that_does_not_answer_the_connection(client: Client, protocol: common_pb2.Protocol) -> None:
    with full_port() as port:
        walked = await client.trace("http://a.test/", http_proxy(port, protocol), hop_timeout=STALL)
    assert verdict(walked) == Verdict("HOP_TIMEOUT", "PROXY_CONNECT_TIMEOUT", "PROXY", False)


async def test_an_origin_that_does_not_answer_the_connection(client: Client) -> None:
    with full_port() as port:
        walked = await client.trace(f"http://127.0.0.1:{port}/", hop_timeout=STALL)
    assert verdict(walked) == Verdict("HOP_TIMEOUT", "CONNECT_TIMEOUT", "TARGET", False)


TLS_CASES = {
    # Issued by somebody who is trusted, so the target is the target; the other may be the proxy's.
    "expired": Verdict("TLS_ERROR", "TLS_CERTIFICATE_EXPIRED", "TARGET", False),
    "self_signed": Verdict("TLS_ERROR", "TLS_CERTIFICATE_SELF_SIGNED", "UNCLEAR", False),
}


@pytest.mark.parametrize("protocol", [common_pb2.HTTP, common_pb2.HTTPS, common_pb2.SOCKS5])
@pytest.mark.parametrize("certificate", TLS_CASES)
async def test_an_origin_whose_certificate_cannot_be_trusted(
    client: Client, certificate: str, protocol: common_pb2.Protocol
) -> None:
    async with Origin(landing, tls=server_tls(certificate)) as origin, _proxy(origin, protocol) as proxy:
        walked = await client.trace("https://a.test/", http_proxy(proxy.port, protocol))
        assert origin.requests == []
        insecure = pb.Policy(allow_insecure_tls=True)
        accepted = await client.trace("https://a.test/", http_proxy(proxy.port, protocol), policy=insecure)
    assert verdict(walked) == TLS_CASES[certificate]
    assert accepted.stop == "LANDING"


@pytest.mark.parametrize("protocol", [common_pb2.HTTP, common_pb2.HTTPS, common_pb2.SOCKS5])
async def test_an_origin_with_the_certificate_of_another(client: Client, protocol: common_pb2.Protocol) -> None:
    async with Origin(landing, tls=server_tls()) as origin, _proxy(origin, protocol) as proxy:
        walked = await client.trace("https://another.example/", http_proxy(proxy.port, protocol))
    assert verdict(walked) == Verdict("TLS_ERROR", "TLS_CERTIFICATE_WRONG_HOST", "UNCLEAR", False)


@pytest.mark.parametrize("protocol", [common_pb2.HTTP, common_pb2.HTTPS, common_pb2.SOCKS5])
async def test_an_origin_that_breaks_or_stalls_the_handshake(client: Client, protocol: common_pb2.Protocol) -> None:
    async with Abrupt() as abrupt, _proxy(abrupt, protocol) as proxy:
        walked = await client.trace("https://a.test/", http_proxy(proxy.port, protocol))
    assert verdict(walked) == Verdict("TLS_ERROR", "TLS_HANDSHAKE_FAILED", "UNCLEAR", False)
    async with Mute() as mute, _proxy(mute, protocol) as proxy:
        walked = await client.trace("https://a.test/", http_proxy(proxy.port, protocol), hop_timeout=STALL)
    assert verdict(walked) == Verdict("HOP_TIMEOUT", "TLS_TIMEOUT", "UNCLEAR", False)


def _proxy(behind: RawServer, protocol: common_pb2.Protocol) -> ForwardProxy | SocksProxy:
    if protocol == common_pb2.SOCKS5:
        return SocksProxy(behind)
    return ForwardProxy(behind, tls=server_tls() if protocol == common_pb2.HTTPS else None)


OriginScript = Callable[[Request, Wire], Awaitable[bytes | None]]


async def _no_answer(_request: Request, wire: Wire) -> None:
    await wire.gone()


async def _half_a_head(_request: Request, wire: Wire) -> None:
    await wire.send(b"HTTP/1.1 200 OK\r\nX-Half: ")
    await wire.gone()


async def _half_a_body(_request: Request, wire: Wire) -> None:
    await wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 99\r\n\r\n<p>")
    await wire.gone()


@pytest.mark.parametrize("protocol", [common_pb2.HTTP, common_pb2.HTTPS, common_pb2.SOCKS5])
@pytest.mark.parametrize(
    ("script", "reason"),
    [(_no_answer, "RESPONSE_TIMEOUT"), (_half_a_head, "TRANSFER_TIMEOUT"), (_half_a_body, "TRANSFER_TIMEOUT")],
)
async def test_an_origin_that_stalls(
    client: Client, script: OriginScript, reason: str, protocol: common_pb2.Protocol
) -> None:
    async with Origin(script, tls=server_tls()) as origin, _proxy(origin, protocol) as proxy:
        walked = await client.trace("https://a.test/", http_proxy(proxy.port, protocol), hop_timeout=STALL)
    assert verdict(walked) == Verdict("HOP_TIMEOUT", reason, "TARGET", True)


@pytest.mark.parametrize("protocol", [common_pb2.HTTP, common_pb2.HTTPS, common_pb2.SOCKS5])
async def test_tls_through_every_kind_of_proxy(client: Client, protocol: common_pb2.Protocol) -> None:
    async def respond(request: Request, _wire: Wire) -> bytes:
        return redirect("/end") if request.path == "/" else page("landed")

    async with Origin(respond, tls=server_tls()) as origin, _proxy(origin, protocol) as proxy:
        walked = await client.trace("https://a.test/", http_proxy(proxy.port, protocol))
    assert walked.stop == "LANDING"
    assert [hop.tls_version for hop in walked.hops] == ["TLSv1.3", "TLSv1.3"]
    assert walked.hops[0].timing.HasField("tls")
    assert not walked.hops[1].timing.HasField("tls")
    assert [request.connection for request in origin.requests] == [1, 1]


async def test_credentials_reach_the_proxy_and_nobody_else(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    async def respond(request: Request, _wire: Wire) -> bytes:
        # An origin that asks for the proxy's credentials must not get them.
        return answer(407, [CHALLENGE]) if request.path == "/" else page("landed")

    async with Origin(respond, tls=server_tls()) as origin, ForwardProxy(origin) as proxy:
        walked = await client.trace("https://a.test/", http_proxy(proxy.port, credentials=True))
    expected = "Basic " + base64.b64encode(f"{PROXY_USER}:{PROXY_PASSWORD}".encode()).decode()
    assert [request.header("proxy-authorization") for request in proxy.requests] == [expected]
    assert walked.stop == "LANDING"
    assert walked.hops[0].status == 407
    (request,) = origin.requests
    assert request.header("proxy-authorization") is None
    assert request.header("proxy-connection") is None
    shown = str(walked) + "".join(capsys.readouterr())
    assert not re.search(rf"{PROXY_PASSWORD}|{expected[6:]}", shown)


async def test_wrong_credentials_are_never_shown(client: Client, capfd: pytest.CaptureFixture[str]) -> None:
    async with Origin(landing) as origin, ForwardProxy(origin, intercept=says(answer(407, [CHALLENGE]))) as proxy:
        for url in ("http://a.test/", "https://a.test/"):
            walked = await client.trace(url, http_proxy(proxy.port, credentials=True))
            assert walked.reason == "PROXY_AUTH_REQUIRED"
            assert PROXY_PASSWORD not in str(walked)
    assert PROXY_PASSWORD not in "".join(capfd.readouterr())


async def test_the_environment_never_chooses_the_way(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Origin(landing) as origin, ForwardProxy(origin) as leased, ForwardProxy(origin) as evil:
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{evil.port}")
        monkeypatch.setenv("NO_PROXY", "*")
        monkeypatch.setenv("no_proxy", "*")
        walked = await client.trace("http://a.test/", http_proxy(leased.port))
        assert walked.stop == "LANDING"
        assert leased.connections == 1
        monkeypatch.delenv("NO_PROXY")
        monkeypatch.delenv("no_proxy")
        walked = await client.trace(f"http://127.0.0.1:{origin.port}/")
        assert walked.stop == "LANDING"
        assert evil.connections == 0


async def test_a_proxy_that_refuses_is_never_gone_around(client: Client) -> None:
    async with Origin(landing) as origin, Mute() as gone:
        port = gone.port
        await gone.__aexit__(None, None, None)
        walked = await client.trace(f"http://127.0.0.1:{origin.port}/", http_proxy(port))
        assert walked.stop == "PROXY_ERROR"
        assert origin.connections == 0


async def test_a_proxy_that_dies_midway_leaves_the_hops_walked(client: Client) -> None:
    async def respond(request: Request, wire: Wire) -> bytes | None:
        if request.path == "/3":
            await proxy.__aexit__(None, None, None)
            await wire.gone()
            return None
        # Each on a connection of its own, so that the proxy is needed again.
        return answer(302, [("Location", f"/{int(request.path[1:]) + 1}"), ("Connection", "close")])

    async with Origin(respond) as origin, ForwardProxy(origin) as proxy:
        walked = await client.trace("http://a.test/1", http_proxy(proxy.port))
    assert [hop.status for hop in walked.hops] == [302, 302, 0]
    assert verdict(walked) == Verdict("CONNECTION_ERROR", "CONNECTION_CLOSED", "UNCLEAR", True)

    walked = await client.trace("http://a.test/1", http_proxy(proxy.port))
    assert verdict(walked) == Verdict("PROXY_ERROR", "PROXY_CONNECTION_FAILED", "PROXY", False)


async def test_a_proxy_that_is_gone_at_the_second_hop_is_suspected_and_the_target_stays_reached(client: Client) -> None:
    async def respond(_request: Request, wire: Wire) -> None:
        await wire.send(answer(302, [("Location", "https://b.test/"), ("Connection", "close")]))
        wire.close()

    async def only_plain(request: Request, wire: Wire) -> bool:
        if request.target == "b.test:443":
            wire.reset()
            return True
        return False

    async with Origin(respond) as origin, ForwardProxy(origin, intercept=only_plain) as proxy:
        walked = await client.trace("http://a.test/", http_proxy(proxy.port))
    assert [hop.status for hop in walked.hops] == [302, 0]
    assert verdict(walked) == Verdict("PROXY_ERROR", "PROXY_CONNECTION_CLOSED", "UNCLEAR", True)
