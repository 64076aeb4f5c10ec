"""The commands that pages of the docs show, made fit for a system that runs elsewhere than the page says."""

import re
from pathlib import Path

from tests.support.system import System

ROOT = Path(__file__).resolve().parents[2]
_PORTS = {
    "8080": "http",
    "8081": "internal",
    "50051": "pool",
    "50052": "tracer",
    "50053": "grpc",
    "8090": "demo",
}


def commands(page: str, program: str) -> list[str]:
    """Returns the commands of a page that start a program."""
    blocks = re.findall(r"^```sh\n(.*?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.startswith(f"{program} ")]


def fitted(command: str, system: System) -> str:
    """Returns a command with the ports and the state directory of a system."""
    placed = re.sub(r"127\.0\.0\.1:(\d+)", lambda match: f"127.0.0.1:{system.ports[_PORTS[match[1]]]}", command)
    return placed.replace(".local/", f"{system.state}/")
