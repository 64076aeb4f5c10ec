"""Every psql and curl line of docs/monitoring.md works, and shows what has happened."""

import os
import secrets
import subprocess
from pathlib import Path

import pytest

from local.postgres import binaries
from tests.support.docs import ROOT, commands, fitted
from tests.support.system import System

pytestmark = pytest.mark.xdist_group("system")

PAGE = "docs/monitoring.md"


async def run(system: System, command: str) -> str:
    """Runs a command as a person would, with the psql that comes with PostgreSQL, and returns what it says."""
    strict = fitted(command, system).replace("psql ", "psql -v ON_ERROR_STOP=1 ", 1)
    path = f"{binaries.find(Path('/nowhere'))}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", strict], cwd=ROOT, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("command", commands(PAGE, "psql"))
async def test_the_psql_lines(system: System, command: str) -> None:
    await system.rested()
    answer = await system.click(f"offer=demo&gclid={secrets.token_hex(8)}")
    await system.ended(answer.click_id)
    said = await run(system, command)
    assert "row" in said
    if "monitor.sql" in command:
        broken = await system.click(f"offer=demo-broken&gclid={secrets.token_hex(8)}")
        reason = (await system.ended(broken.click_id)).reason
        said = await run(system, command)
        for expected in (answer.click_id, broken.click_id, reason, "us", "in_use"):
            assert expected in said
        # Each question has its title, and each title its answer.
        assert said.count(" row") == (ROOT / "docs/monitor.sql").read_text().count("\\echo")
    elif "request_id" in command:
        assert answer.click_id in said


@pytest.mark.parametrize("command", commands(PAGE, "curl"))
async def test_the_maintenance_line(system: System, command: str) -> None:
    assert '"statistics_rows"' in await run(system, command)


def test_every_line_of_the_page_is_tested_somewhere() -> None:
    programs = {"psql": 5, "grpcurl": 10, "curl": 1, "make": 1}
    assert {name: len(commands(PAGE, name)) for name in programs} == programs
