"""The real grpcurl, as operators use it: it finds every service by reflection and reads answers and errors."""

import json
import shlex
import subprocess
from typing import Any

import pytest

from tests.acceptance.test_readme import COMMANDS, on_the_ports_of
from tests.support.system import System, state_directory


def run(grpcurl: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([grpcurl, "-plaintext", *arguments], capture_output=True, text=True, check=False, timeout=30)


@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("grpcurl")])
def test_the_commands_of_the_readme(grpcurl: str, system: System, command: str) -> None:
    arguments = on_the_ports_of(system, command)[1:]
    done = subprocess.run([grpcurl, *arguments], capture_output=True, text=True, check=True, timeout=30)
    status: dict[str, Any] = json.loads(done.stdout)
    assert status["total"]["total"] == 10


@pytest.mark.parametrize(
    ("port", "services"),
    [
        ("pool", ["clicktrace.pool.v1.PoolAdmin", "clicktrace.pool.v1.PoolManager"]),
        ("tracer", ["clicktrace.tracer.v1.Tracer"]),
        (
            "grpc",
            [
                "clicktrace.gateway.v1.ClickLog",
                "clicktrace.gateway.v1.OfferAdmin",
                "clicktrace.gateway.v1.WebhookAdmin",
            ],
        ),
    ],
)
def test_every_service_is_listed(grpcurl: str, system: System, port: str, services: list[str]) -> None:
    done = run(grpcurl, f"127.0.0.1:{system.ports[port]}", "list")
    assert [line for line in done.stdout.split() if line.startswith("clicktrace.")] == services


def test_an_error_shows_its_reason_and_what_to_do(grpcurl: str, system: System) -> None:
    done = run(
        grpcurl,
        *("-d", '{"request_id": "r1", "country": "xx"}'),
        f"127.0.0.1:{system.ports['pool']}",
        "clicktrace.pool.v1.PoolManager/Lease",
    )
    assert done.returncode != 0
    assert "country" in done.stderr
    assert "google.rpc.ErrorInfo" in done.stderr


async def test_a_click_is_explained(grpcurl: str, system: System) -> None:
    await system.rested()
    answer = await system.click("offer=demo&gclid=explained")
    await system.ended(answer.click_id)
    done = run(
        grpcurl,
        *("-d", json.dumps({"click_id": answer.click_id})),
        f"127.0.0.1:{system.ports['grpc']}",
        "clicktrace.gateway.v1.ClickLog/GetClick",
    )
    click: dict[str, Any] = json.loads(done.stdout)["click"]
    assert click["status"] == "COMPLETED"
    assert len(click["hops"]) == 6
    assert {param["name"]: param["origin"] for param in click["params"]}["gclid"] == "INBOUND"


def test_the_command_that_a_run_with_tls_shows(grpcurl: str) -> None:
    with state_directory() as state, System(state, ("--tls",)) as system:
        shown = shlex.split(next(line for line in system.output if "grpcurl" in line))
        arguments = shown[shown.index("grpcurl") + 1 :]
        done = subprocess.run([grpcurl, *arguments], capture_output=True, text=True, check=True, timeout=30)
        assert json.loads(done.stdout)["total"]["total"] == 10
        refused = subprocess.run(
            [grpcurl, "-connect-timeout", "2", *arguments[:2], *arguments[6:]],
            capture_output=True, text=True, check=False, timeout=30,
        )  # fmt: skip
        assert refused.returncode != 0
        assert "Failed to dial" in refused.stderr
