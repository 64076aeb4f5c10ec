"""Every command of the README does what the README says."""

import re
import shlex
import subprocess

import pytest

from tests.support.system import ROOT, System

pytestmark = pytest.mark.xdist_group("system")

README = (ROOT / "README.md").read_text()
COMMANDS = [
    line.partition("#")[0].strip()
    for block in re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
]
DEFAULT_PORTS = {
    "8080": "http",
    "8081": "internal",
    "50051": "pool",
    "50052": "tracer",
    "9101": "pool-metrics",
    "9102": "tracer-metrics",
    "50053": "grpc",
    "8090": "demo",
}


def on_the_ports_of(system: System, command: str) -> list[str]:
    """Returns a command of the docs for a system that runs elsewhere than on the default ports."""
    return shlex.split(
        re.sub(r"127\.0\.0\.1:(\d+)", lambda match: f"127.0.0.1:{system.ports[DEFAULT_PORTS[match[1]]]}", command)
    )


def test_the_readme_has_the_commands_that_are_tested_here() -> None:
    assert {shlex.split(command)[0] for command in COMMANDS} == {"make", "curl", "grpcurl"}


@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("make")])
def test_make_knows_its_targets(command: str) -> None:
    done = subprocess.run([*shlex.split(command), "--dry-run"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("curl")])
async def test_the_click_answers_as_shown(system: System, command: str) -> None:
    await system.rested()
    said = subprocess.run(on_the_ports_of(system, command), capture_output=True, text=True, check=True).stdout
    (shown,) = re.findall(r"^```http\n(.*?)^```", README, re.MULTILINE | re.DOTALL)

    def shape(text: str) -> list[str]:
        """Returns the lines without what is different in each click."""
        lines = [line.strip() for line in text.splitlines()]
        kept = [line for line in lines if line and not line.startswith(("Content-Length", "Date", "Server"))]
        return [re.sub(r"clickid=\w+|127\.77\.0\.\d+|:\d+/|(?<=Id: )\w+", "…", line) for line in kept]

    assert shape(said) == shape(shown)
