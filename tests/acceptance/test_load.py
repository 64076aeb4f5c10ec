"""The load script: simultaneous clicks, a table of what each got, and an exit code that can be relied upon."""

import asyncio
import re
import subprocess
import sys

import pytest

from local.ports import free_ports
from tests.support.system import ROOT, System

pytestmark = pytest.mark.xdist_group("system")


async def load(system: System | None, *options: str) -> subprocess.CompletedProcess[str]:
    where = []
    if system is not None:
        where = ["--url", f"http://127.0.0.1:{system.ports['http']}/track-hit"]
        where += ["--grpc", f"127.0.0.1:{system.ports['grpc']}"]
    command = [sys.executable, "-m", "local.tools.load", *where, *options]
    return await asyncio.to_thread(
        subprocess.run, command, cwd=ROOT, capture_output=True, text=True, timeout=90, check=False
    )


async def test_ten_clicks_at_once_show_ten_ips_and_an_eleventh_shows_why_it_has_none(system: System) -> None:
    await system.rested()
    done = await load(system, "--clicks", "11")
    assert done.returncode == 0, done.stderr
    head, *lines = done.stdout.splitlines()
    assert re.split(r" {2,}", head) == ["#", "answer", "exit IP", "hops", "time", "where"]
    rows = [re.split(r" {2,}", line) for line in lines[:11]]
    assert [row[0] for row in rows] == [str(number) for number in range(1, 12)]
    landed = [row for row in rows if row[1] == "LANDING"]
    assert len({row[2] for row in landed}) == 10
    assert all(row[3] == "6" and "clickid=" in row[5] for row in landed)
    (late,) = [row for row in rows if row not in landed]
    assert late[1:4] == ["FALLBACK NO_AVAILABLE_IP", "—", "0"]
    assert re.search(
        r"^11 clicks in [\d.]+ s, through 10 IPs\n +10 × LANDING\n +1 × FALLBACK", done.stdout, re.MULTILINE
    )
    assert "visitors waited" in done.stdout


async def test_visitors_who_are_not_sent_on_make_it_fail(system: System) -> None:
    unknown = await load(system, "--clicks", "2", "--offer", "nobody")
    assert unknown.returncode == 1
    assert "2 of 2 visitors were not sent on" in unknown.stderr
    assert "HTTP 404" in unknown.stdout

    port, other = free_ports(2)
    gone = await load(
        None, "--clicks", "2", "--url", f"http://127.0.0.1:{port}/track-hit", "--grpc", f"127.0.0.1:{other}"
    )
    assert gone.returncode == 1
    assert "Traceback" not in gone.stdout + gone.stderr
    assert "2 × none" in gone.stdout


async def test_without_the_log_it_says_that_the_ips_are_not_known(system: System) -> None:
    (port,) = free_ports(1)
    done = await load(system, "--clicks", "1", "--offer", "demo", "--grpc", f"127.0.0.1:{port}")
    assert done.returncode == 1
    assert "cannot be read" in done.stderr
    assert "Traceback" not in done.stderr


async def test_help_names_every_option_and_wrong_ones_are_refused() -> None:
    helped = await load(None, "--help")
    assert helped.returncode == 0
    for option in ("--clicks", "--offer", "--url", "--grpc", "--timeout", "--tls-dir", "GATEWAY_CLIENT_BURST"):
        assert option in helped.stdout
    assert (await load(None, "--clicks", "0")).returncode == 2
