"""Walks through proxies and to an origin that are not ours: squid, tinyproxy, microsocks and nginx, from Debian.

Everything listens on the loopback, on ports that were free a moment before.
"""

import asyncio
import contextlib
import getpass
import os
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from clicktrace.tracer.v1 import tracer_pb2 as pb
from tests.integration.tracer.rig import CERTIFICATES, PROXY_PASSWORD, PROXY_USER, Client, http_proxy, serving


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
async def squid(folder: Path) -> AsyncIterator[pb.Proxy]:
    """Runs squid, which asks for credentials."""
    path = program("squid")
    port = free_port()
    async with running([path, "-N", "-f", str(squid_config(folder, port))], port):
        yield http_proxy(port, credentials=True)


@asynccontextmanager
async def tinyproxy(folder: Path) -> AsyncIterator[pb.Proxy]:
    """Runs tinyproxy, which asks for credentials."""
    path = program("tinyproxy")
    port = free_port()
    config = folder / "tinyproxy.conf"
    config.write_text(f"Port {port}\nListen 127.0.0.1\nTimeout 60\nBasicAuth {PROXY_USER} {PROXY_PASSWORD}\n")
    async with running([path, "-d", "-c", str(config)], port):
        yield http_proxy(port, credentials=True)


@asynccontextmanager
async def microsocks(_folder: Path) -> AsyncIterator[pb.Proxy]:
    """Runs microsocks, which asks for credentials."""
    path = program("microsocks")
    port = free_port()
    command = [path, "-i", "127.0.0.1", "-p", str(port), "-u", PROXY_USER, "-P", PROXY_PASSWORD]
    async with running(command, port):
        yield http_proxy(port, pb.SOCKS5, credentials=True)


PROXIES = {"squid": squid, "tinyproxy": tinyproxy, "microsocks": microsocks}


@pytest.mark.parametrize("name", PROXIES)
async def test_a_chain_through_a_proxy_of_others(client: Client, origin: Origin, squid_folder: Path, name: str) -> None:
    async with PROXIES[name](squid_folder) as proxy:
        walked = await client.trace(f"http://127.0.0.1:{origin.plain}/start", proxy)
    assert walked.stop == "LANDING", walked
    assert walked.result.final_url == f"https://127.0.0.1:{origin.secure}/landing?clickid=x%2By#frag"
    assert [hop.status for hop in walked.hops] == [302, 307, 200, 200, 301, 200]
    assert [(p.name, p.value) for p in walked.hops[1].params] == [("a", "1"), ("a", "%20")]
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
    if (name, scheme) == ("tinyproxy", "http"):
        # It answers a plain request with 401, as only an origin may; nobody could tell whose answer that is.
        assert (walked.stop, walked.hops[0].status) == ("LANDING", 401)
        return
    assert (walked.stop, failure.reason, walked.blame) == ("PROXY_ERROR", "PROXY_AUTH_REQUIRED", "PROXY")
    assert not failure.target_reached


@pytest.mark.parametrize("name", PROXIES)
async def test_a_target_that_is_not_there(client: Client, squid_folder: Path, name: str) -> None:
    async with PROXIES[name](squid_folder) as proxy:
        walked = await client.trace(f"https://127.0.0.1:{free_port()}/", proxy)
    failure = walked.result.failure
    assert walked.stop in {"CONNECTION_ERROR", "PROXY_ERROR"}
    assert not failure.target_reached


async def test_http_2_in_a_walk_of_several_hops(client: Client, origin: Origin) -> None:
    walked = await client.trace(f"https://127.0.0.1:{origin.secure}/start")
    assert walked.stop == "LANDING"
    assert {hop.http_version for hop in walked.hops} == {"2"}
    assert not walked.hops[-1].timing.HasField("tls")
