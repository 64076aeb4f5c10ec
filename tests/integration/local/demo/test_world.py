"""Proves that the demo process serves as many proxies as it is told to, with the credentials of its file."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from local.demo import credentials
from local.demo.addresses import proxy_address
from local.demo.proxy import Credentials
from local.run.readiness import HttpOk

ROOT = Path(__file__).parents[4]


@dataclass
class Demo:
    process: subprocess.Popen[bytes]
    port: int
    proxy_port: int
    secret: Credentials


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    path = credentials.ensure(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        port, proxy_port = one.getsockname()[1], two.getsockname()[1]
    arguments = [f"--credentials={path}", "--proxies=3", f"--port={port}", f"--proxy-port={proxy_port}"]
    with subprocess.Popen(
        [sys.executable, "-m", "local.demo.world", *arguments], cwd=ROOT, stderr=subprocess.PIPE, env=dict(os.environ)
    ) as process:
        yield Demo(process, port, proxy_port, credentials.read(path))
        process.kill()


async def test_each_proxy_leaves_from_its_own_address(demo: Demo) -> None:
    await HttpOk(f"127.0.0.1:{demo.port}", "/").wait()
    token = aiohttp.encode_basic_auth(demo.secret.username, demo.secret.password)
    async with aiohttp.ClientSession(headers={"Proxy-Authorization": token}) as session:
        for index in (1, 2, 3):
            proxy = f"http://{proxy_address(index)}:{demo.proxy_port}"
            async with session.get(f"http://shop.demo.localhost:{demo.port}/landing", proxy=proxy) as response:
                assert f"asked for from</th><td>{proxy_address(index)}<" in await response.text()
    with pytest.raises(ConnectionRefusedError), socket.create_connection((proxy_address(4), demo.proxy_port)):
        pass
    demo.process.send_signal(signal.SIGTERM)
    assert demo.process.wait(10) == 0
