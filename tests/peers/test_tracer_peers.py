"""Walks through proxies and to an origin that are not ours: squid, tinyproxy, microsocks, dante and nginx, from Debian.

Everything listens on the loopback, on ports that were free a moment before.
"""

import asyncio
import contextlib
import getpass
import os
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from clicktrace.common.v1 import common_pb2
from tests.integration.tracer.fetch.test_proxies import Abrupt, Mute, full_port
from tests.integration.tracer.rig import CERTIFICATES, PROXY_PASSWORD, PROXY_USER, Client, http_proxy, serving
from tests.support.origin import Origin as RawOrigin
from tests.support.origin import Request, Wire, answer, page


def program(name: str) -> str:
    """Returns the path of a program; without it the test says what is missing."""
    path = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    if path is None:
        pytest.skip(f"{name} is missing: apt-get install {name}")
    return path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def running(command: Sequence[str], *ports: int) -> AsyncIterator[None]:
    """Runs a program until the context ends; entered when it listens on its ports."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    try:
        for port in ports:
            await _until_listening(process, port)
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.communicate()


async def _until_listening(process: asyncio.subprocess.Process, port: int) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                if process.returncode is not None:
                    _, told = await process.communicate()
                    raise AssertionError(f"the program ended: {told.decode()}") from None
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return


@dataclass(frozen=True)
class Origin:
    """A real nginx: a plain port, and one with TLS that speaks HTTP/2."""

    plain: int
    secure: int


NGINX = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr warn; user {user};
events {{ worker_connections 256; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  gzip on; gzip_min_length 1; default_type text/html;
  server {{
    listen 127.0.0.1:{plain}; listen 127.0.0.1:{secure} ssl http2;
    ssl_protocols TLSv1.2 TLSv1.3; ssl_certificate {certificate}; ssl_certificate_key {certificate};
    absolute_redirect off;
    location = /start {{ add_header Set-Cookie "seen=1; Path=/"; return 302 /cookie?a=1&a=%20; }}
    location = /cookie {{ if ($cookie_seen = "1") {{ return 307 /meta; }} return 403; }}
    location = /meta {{ return 200 '<meta http-equiv="refresh" content="0;url=/script">'; }}
    location = /script {{ return 200 '<script>location.replace("/up")</script>'; }}
    location = /up {{ return 301 https://127.0.0.1:{secure}/landing?clickid=x%2By#frag; }}
    location = /landing {{ return 200 '<h1>landed</h1>'; }}
  }}
}}
"""


@pytest.fixture
async def origin(tmp_path: Path) -> AsyncIterator[Origin]:
    """Runs nginx."""
    nginx = program("nginx")
    made = Origin(free_port(), free_port())
    config = tmp_path / "nginx.conf"
    config.write_text(
        NGINX.format(
            folder=tmp_path,
            user=getpass.getuser(),
            plain=made.plain,
            secure=made.secure,
            certificate=CERTIFICATES / "valid.pem",
        )
    )
    async with running([nginx, "-p", str(tmp_path), "-c", str(config)], made.plain, made.secure):
        yield made


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    """Asks a tracer that refuses no target."""
    async with serving() as rig:
        yield rig.client


@pytest.fixture
def squid_folder(tmp_path: Path) -> Path:
    """Makes a folder that squid, which gives up being root, may reach and write to."""
    folder = tmp_path / "squid"
    folder.mkdir()
    folder.chmod(0o777)
    for parent in (tmp_path, *tmp_path.parents):
        if parent.name.startswith("pytest-") or parent == tmp_path:
            parent.chmod(parent.stat().st_mode | 0o011)
    return folder


SQUID_HELPERS = (Path("/usr/lib/squid/basic_ncsa_auth"), Path("/usr/lib64/squid/basic_ncsa_auth"))


def squid_config(folder: Path, port: int) -> Path:
    """Writes the configuration of a squid that asks for credentials and keeps nothing."""
    helper = next((helper for helper in SQUID_HELPERS if helper.exists()), None)
    if helper is None:
        pytest.skip("squid's basic_ncsa_auth is missing")
    hashed = subprocess.run(
        ["openssl", "passwd", "-apr1", PROXY_PASSWORD], capture_output=True, text=True, check=True
    ).stdout.strip()
    passwords = folder / "passwords"
    passwords.write_text(f"{PROXY_USER}:{hashed}\n")
    passwords.chmod(0o644)
    config = folder / "squid.conf"
    config.write_text(
        f"http_port 127.0.0.1:{port}\nauth_param basic program {helper} {passwords}\nacl known proxy_auth REQUIRED\n"
        f"http_access allow known\nhttp_access deny all\ncache deny all\naccess_log none\npid_filename none\n"
        f"cache_log {folder}/cache.log\ncoredump_dir {folder}\nshutdown_lifetime 0 seconds\nnetdb_filename none\n"
        "pinger_enable off\n"
    )
    return config


@asynccontextmanager
async def squid(folder: Path) -> AsyncIterator[common_pb2.Proxy]:
    """Runs squid, which asks for credentials."""
    path = program("squid")
    port = free_port()
    async with running([path, "-N", "-f", str(squid_config(folder, port))], port):
        yield http_proxy(port, credentials=True)


@asynccontextmanager
async def tinyproxy(folder: Path) -> AsyncIterator[common_pb2.Proxy]:
    """Runs tinyproxy, which asks for credentials."""
    path = program("tinyproxy")
    port = free_port()
    config = folder / "tinyproxy.conf"
    config.write_text(f"Port {port}\nListen 127.0.0.1\nTimeout 60\nBasicAuth {PROXY_USER} {PROXY_PASSWORD}\n")
    async with running([path, "-d", "-c", str(config)], port):
        yield http_proxy(port, credentials=True)


@asynccontextmanager
async def microsocks(_folder: Path) -> AsyncIterator[common_pb2.Proxy]:
    """Runs microsocks, which asks for credentials."""
    path = program("microsocks")
    port = free_port()
    command = [path, "-i", "127.0.0.1", "-p", str(port), "-u", PROXY_USER, "-P", PROXY_PASSWORD]
    async with running(command, port):
        yield http_proxy(port, common_pb2.SOCKS5, credentials=True)


PROXIES = {"squid": squid, "tinyproxy": tinyproxy, "microsocks": microsocks}


@pytest.mark.parametrize("name", PROXIES)
async def test_a_chain_through_a_proxy_of_others(client: Client, origin: Origin, squid_folder: Path, name: str) -> None:
    async with PROXIES[name](squid_folder) as proxy:
        walked = await client.trace(f"http://127.0.0.1:{origin.plain}/start", proxy)
    assert walked.stop == "LANDING", walked
    assert walked.result.final_url == f"https://127.0.0.1:{origin.secure}/landing?clickid=x%2By#frag"
    assert [hop.status for hop in walked.hops] == [302, 307, 200, 200, 301, 200]
    assert walked.hops[1].url.partition("?")[2] == "a=1&a=%20"
    last = walked.hops[-1]
    assert (last.http_version, last.tls_version) == ("2", "TLSv1.3")
    assert all(hop.http_version == "1.1" for hop in walked.hops[:-1])


@pytest.mark.parametrize("name", PROXIES)
async def test_names_are_resolved_by_the_proxy(client: Client, origin: Origin, squid_folder: Path, name: str) -> None:
    async with PROXIES[name](squid_folder) as proxy:
        walked = await client.trace(f"http://localhost:{origin.plain}/landing", proxy)
    assert walked.stop == "LANDING"
    assert walked.hops[0].status == 200


@pytest.mark.parametrize("name", PROXIES)
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_wrong_credentials(client: Client, origin: Origin, squid_folder: Path, name: str, scheme: str) -> None:
    async with PROXIES[name](squid_folder) as proxy:
        proxy.password = "wrong"
        port = origin.plain if scheme == "http" else origin.secure
        walked = await client.trace(f"{scheme}://127.0.0.1:{port}/landing", proxy)
    failure = walked.result.failure
    assert (walked.stop, failure.reason, walked.blame) == ("PROXY_ERROR", "PROXY_AUTH_REQUIRED", "PROXY")
    assert not failure.target_reached


SQUID = (
    "http_port 127.0.0.1:{port}\nacl denied dstdomain denied.test\nacl tunnels method CONNECT\n{access}"
    "http_access deny denied\nhttp_access allow all\n{cache}\naccess_log none\npid_filename none\n"
    "cache_log {folder}/cache.log\ncoredump_dir {folder}\nshutdown_lifetime 0 seconds\nnetdb_filename none\n"
    "pinger_enable off\ndns_nameservers 127.0.0.1\ndns_timeout 1 seconds\n"
)
TINYPROXY = 'Port {port}\nListen 127.0.0.1\nTimeout 60\nFilter "{folder}/denied"\n{access}\n'
DANTE = (
    "internal: 127.0.0.1 port = {port}\nexternal: lo\nsocksmethod: none\nclientmethod: none\n"
    "client pass {{ from: 0.0.0.0/0 to: 0.0.0.0/0 }}\nsocks pass {{ from: 0.0.0.0/0 to: 0.0.0.0/0 }}\n"
)


@asynccontextmanager
async def open_squid(folder: Path, access: str = "", cache: str = "cache deny all") -> AsyncIterator[common_pb2.Proxy]:
    path, port = program("squid"), free_port()
    config = folder / "squid.conf"
    config.write_text(SQUID.format(port=port, folder=folder, access=access, cache=cache))
    async with running([path, "-N", "-f", str(config)], port):
        yield http_proxy(port)


@asynccontextmanager
async def open_tinyproxy(folder: Path, access: str = "") -> AsyncIterator[common_pb2.Proxy]:
    path, port = program("tinyproxy"), free_port()
    (folder / "denied").write_text("denied.test\n")
    config = folder / "tinyproxy.conf"
    config.write_text(TINYPROXY.format(port=port, folder=folder, access=access))
    async with running([path, "-d", "-c", str(config)], port):
        yield http_proxy(port)


@asynccontextmanager
async def open_microsocks(_folder: Path) -> AsyncIterator[common_pb2.Proxy]:
    path, port = program("microsocks"), free_port()
    async with running([path, "-i", "127.0.0.1", "-p", str(port)], port):
        yield http_proxy(port, common_pb2.SOCKS5)


@asynccontextmanager
async def open_dante(folder: Path) -> AsyncIterator[common_pb2.Proxy]:
    path, port = program("danted"), free_port()
    config = folder / "danted.conf"
    config.write_text(DANTE.format(port=port))
    async with running([path, "-f", str(config), "-p", str(folder / "pid")], port):
        yield http_proxy(port, common_pb2.SOCKS5)


OPEN: dict[str, Callable[[Path], AbstractAsyncContextManager[common_pb2.Proxy]]] = {
    "squid": open_squid,
    "squid-without-tunnels": partial(open_squid, access="http_access deny tunnels\n"),
    "tinyproxy": open_tinyproxy,
    "tinyproxy-without-tunnels": partial(open_tinyproxy, access="ConnectPort 4"),
    "microsocks": open_microsocks,
    "dante": open_dante,
}
CONNECT = {
    "unknown": "PROXY_CONNECT_REFUSED UNCLEAR",
    "refused": "PROXY_CONNECT_REFUSED UNCLEAR",
    "black-hole": "PROXY_TUNNEL_TIMEOUT UNCLEAR",
}
NO_TUNNEL = dict.fromkeys(
    ("unknown", "refused", "closes", "mute", "black-hole", "denied"), "PROXY_CONNECT_REFUSED UNCLEAR"
)
PLAIN = {"closes": "CONNECTION_CLOSED UNCLEAR", "mute": "RESPONSE_TIMEOUT UNCLEAR"}
TLS = {"closes": "TLS_HANDSHAKE_FAILED UNCLEAR", "mute": "TLS_TIMEOUT UNCLEAR"}
FORWARDED = {
    "unknown": "PROXY_OWN_ANSWER UNCLEAR",
    "refused": "PROXY_OWN_ANSWER UNCLEAR",
    "closes": "PROXY_OWN_ANSWER UNCLEAR",
    "mute": "RESPONSE_TIMEOUT UNCLEAR",
    "black-hole": "RESPONSE_TIMEOUT UNCLEAR",
    "denied": "PROXY_OWN_ANSWER UNCLEAR",
}
MICROSOCKS = {
    "unknown": "SOCKS_GENERAL_FAILURE UNCLEAR",
    "refused": "SOCKS_CONNECTION_REFUSED TARGET",
    "black-hole": "PROXY_TUNNEL_TIMEOUT UNCLEAR",
}
DANTED = MICROSOCKS | {"unknown": "SOCKS_HOST_UNREACHABLE TARGET"}
VERDICTS = {
    # A host that squid or tinyproxy denies is asked for a second time, in case only tunnels to it are denied.
    ("squid", "http"): CONNECT | PLAIN | {"denied": "PROXY_OWN_ANSWER UNCLEAR"},
    ("squid", "https"): CONNECT | TLS | {"denied": "PROXY_CONNECT_REFUSED UNCLEAR"},
    ("squid-without-tunnels", "http"): FORWARDED,
    ("squid-without-tunnels", "https"): NO_TUNNEL,
    ("tinyproxy", "http"): CONNECT | PLAIN | {"denied": "PROXY_OWN_ANSWER UNCLEAR"},
    ("tinyproxy", "https"): CONNECT | TLS | {"denied": "PROXY_CONNECT_REFUSED UNCLEAR"},
    ("tinyproxy-without-tunnels", "http"): FORWARDED | {"closes": "CONNECTION_CLOSED UNCLEAR"},
    ("tinyproxy-without-tunnels", "https"): NO_TUNNEL,
    ("microsocks", "http"): MICROSOCKS | PLAIN,
    ("microsocks", "https"): MICROSOCKS | TLS,
    ("dante", "http"): DANTED | PLAIN,
    ("dante", "https"): DANTED | TLS,
}


@pytest.mark.parametrize(("name", "scheme"), VERDICTS)
async def test_who_is_blamed_for_a_target_that_fails(
    client: Client, squid_folder: Path, name: str, scheme: str
) -> None:
    """None of these targets answers, so nothing may be taken for a landing, and no IP blamed for certain."""
    expected = VERDICTS[name, scheme]
    async with OPEN[name](squid_folder) as proxy, Abrupt() as abrupt, Mute() as mute:
        proxy.provider = name
        with full_port() as black_hole:
            hosts = {
                "unknown": "no-such-name.invalid",
                "refused": f"127.0.0.1:{free_port()}",
                "closes": f"127.0.0.1:{abrupt.port}",
                "mute": f"127.0.0.1:{mute.port}",
                "black-hole": f"127.0.0.1:{black_hole}",
                "denied": "denied.test",
            }
            verdicts = {}
            for cell in expected:
                timeout = 1 if cell in {"mute", "black-hole"} else 10
                walked = await client.trace(f"{scheme}://{hosts[cell]}/", proxy, hop_timeout=timeout)
                assert walked.stop != "LANDING"
                verdicts[cell] = f"{walked.reason} {walked.blame}"
    assert verdicts == expected


@pytest.mark.parametrize("access", ["", "http_access deny tunnels\n"], ids=["tunnels", "no-tunnels"])
async def test_a_caching_front_never_gives_one_visitor_the_redirect_of_another(
    client: Client, squid_folder: Path, access: str
) -> None:
    async def respond(request: Request, _wire: Wire) -> bytes:
        if request.path.startswith("/landing"):
            return page("landed")
        clicks.append(request.path)
        return answer(302, [("Location", f"/landing?clickid={len(clicks)}"), ("Cache-Control", "max-age=600")])

    clicks: list[str] = []
    async with RawOrigin(respond) as origin, open_squid(squid_folder, access, "cache_mem 8 MB") as proxy:
        proxy.provider = f"caching-{bool(access)}"
        ends = [(await client.trace(f"http://127.0.0.1:{origin.port}/start", proxy)).result.final_url for _ in range(2)]
    assert [end.partition("?")[2] for end in ends] == ["clickid=1", "clickid=2"]


async def test_http_2_in_a_walk_of_several_hops(client: Client, origin: Origin) -> None:
    walked = await client.trace(f"https://127.0.0.1:{origin.secure}/start")
    assert walked.stop == "LANDING"
    assert {hop.http_version for hop in walked.hops} == {"2"}
    assert not walked.hops[-1].timing.HasField("tls")
