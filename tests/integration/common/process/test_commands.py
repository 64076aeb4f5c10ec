"""A process says what is wrong with its settings and ends; what is no fault of theirs keeps it from nothing."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.integration.tracer.process import tracer

ROOT = Path(__file__).resolve().parents[4]
URL = {"DATABASE_URL": "postgresql://somebody:marker@127.0.0.1:9/nowhere"}
SAMPLE = """
import asyncio, sys
from typing import ClassVar
from pydantic_settings import SettingsConfigDict
from libs.common.process import commands
from libs.common.process.settings import ServiceSettings

class Sample(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="SAMPLE_")
    retired = {"SAMPLE_REST": "SAMPLE_PAUSE"}
    pause: int = 1

async def serve(config, stop):
    print(config.pause)

if __name__ == "__main__":
    sys.exit(commands.run("sample", Sample, {"serve": "sample:serve"}, sys.argv[1:]))
"""


def run(command: Sequence[str], environment: Mapping[str, str], path: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Runs a program with these variables and no others of ours."""
    kept: Mapping[str, str] = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT}:{path}"}
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=path, env={**kept, **environment}, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


@pytest.mark.parametrize(
    "command",
    [
        ("services.gateway", "serve"),
        ("services.gateway", "migrate"),
        ("services.pool_manager", "serve"),
        ("services.pool_manager", "migrate"),
        ("services.pool_manager", "provision", "proxies.csv"),
        ("services.tracer",),
    ],
    ids=" ".join,
)
def test_misspellings_and_other_faults_end_every_command_before_it_begins(command: tuple[str, ...]) -> None:
    misspelt = {"GATEWAY_LISTNE": ":8080", "POOL_COLDOWN": "5s", "TRACERGRACE": "5s"}
    done = run(command, {**misspelt, "LOG_LEVEL": "info", **URL})
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "The settings are not usable:",
        "GATEWAY_LISTNE: there is no such setting; the nearest is GATEWAY_LISTEN",
        "POOL_COLDOWN: there is no such setting; the nearest is POOL_COOLDOWN",
        "TRACERGRACE: this is one letter away from TRACER_GRACE, which is not set; rename it, or set TRACER_GRACE too",
    ]


def test_all_kinds_of_faults_are_told_at_once_and_no_secret() -> None:
    environment = {
        "DATABASE_URL": "mysql://somebody:marker@127.0.0.1/x",
        "GATEWAY_OPERATOR_TOKEN": "",
        "GATEWAY_CLICK_URL": "ftp://marker@click.example",
        "GATEWAY_MAX_WAIT": "61s",
        "GATEWAY_MAX_ATTEMPTS": "many",
        "GATEWAY_GRPC_LISTEN": ":50053",
        "GATEWAY_MAX_WAITS": "marker",
    }
    done = run(["services.gateway"], environment)
    assert done.returncode == 2
    assert {line.partition(":")[0] for line in done.stderr.splitlines()[1:]} == {
        *("DATABASE_URL", "GATEWAY_OPERATOR_TOKEN", "GATEWAY_CLICK_URL", "GATEWAY_MAX_WAIT", "GATEWAY_MAX_ATTEMPTS"),
        *("GATEWAY_GRPC_LISTEN", "GATEWAY_MAX_WAITS"),
    }
    assert "marker" not in done.stderr


async def test_what_kubernetes_sets_and_what_siblings_read_keeps_nobody_from_starting() -> None:
    others = {
        "TRACER_SERVICE_HOST": "10.0.0.1",
        "TRACER_SERVICE_PORT_GRPC": "50052",
        "TRACER_PORT": "tcp://10.0.0.1:50052",
        "POOL_MANAGER_PORT_50051_TCP_ADDR": "10.0.0.2",
        "GATEWAY_INTERNAL_SERVICE_PORT": "8081",
        "GATEWAY_MAX_WAIT": "of no concern here",
        "POOL_TARGET": "dns:///pool-manager:50051",
        "DATABASE_HOST": "of others",
    }
    async with tracer(**others) as process:
        assert process.running.returncode is None


@pytest.mark.parametrize("given", [{}, {"SAMPLE_REST": "5"}])
def test_a_retired_variable_is_ignored_with_a_warning(tmp_path: Path, given: Mapping[str, str]) -> None:
    (tmp_path / "sample.py").write_text(SAMPLE)
    done = run(["sample"], {"LOG_FORMAT": "json", "SAMPLE_PAUSE": "7", **given}, tmp_path)
    assert (done.returncode, done.stdout) == (0, "7\n")
    warnings = [json.loads(line) for line in done.stderr.splitlines() if '"setting.retired"' in line]
    assert [(each["level"], each["variable"], each["replacement"]) for each in warnings] == [
        ("warning", name, "SAMPLE_PAUSE") for name in given
    ]


def test_wrong_usage_ends_with_2() -> None:
    done = run(["services.gateway", "sreve"], URL)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: ")


def test_a_failure_is_one_line_of_the_log_and_1() -> None:
    done = run(["services.gateway", "migrate"], {"LOG_FORMAT": "json", **URL})
    assert done.returncode == 1
    last = json.loads(done.stderr.splitlines()[-1])
    assert (last["event"], last["command"]) == ("process.failed", "migrate")
    assert "marker" not in done.stderr
