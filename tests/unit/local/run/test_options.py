"""Proves that the command line takes what makes sense, refuses what does not, and passes the environment on."""

from pathlib import Path

import pytest

from local.run import options


def test_the_defaults_are_those_of_the_documentation() -> None:
    chosen = options.parse([], {})
    ports = (chosen.http_port, chosen.internal_port, chosen.grpc_port, chosen.pool_port, chosen.tracer_port)
    assert ports == (8080, 8081, 50053, 50051, 50052)
    assert (chosen.demo_port, chosen.proxy_port, chosen.postgres_port) == (8090, 8899, 0)
    assert (chosen.proxies, chosen.cooldown, chosen.max_wait) == (10, 60, 10)
    assert chosen.state_dir == options.ROOT / ".local"
    assert chosen.detail == "normal"
    assert chosen.database_url == ""


@pytest.mark.parametrize(("text", "seconds"), [("5", 5), ("5s", 5), ("250ms", 0.25), ("1m", 60)])
def test_times_take_a_unit_or_none(text: str, seconds: float) -> None:
    chosen = options.parse(["--cooldown", text, "--max-wait", text, "--slow-hop", text], {})
    assert (chosen.cooldown, chosen.max_wait, chosen.slow_hop) == (seconds, seconds, seconds)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--proxies", "0"],
        ["--proxies", "251"],
        ["--proxies", "ten"],
        ["--cooldown", "-1"],
        ["--cooldown", "soon"],
        ["--max-wait", "0"],
        ["--max-wait", "61s"],
        ["--http-port", "0"],
        ["--http-port", "65536"],
        ["--quiet", "--verbose"],
        ["--nonsense"],
    ],
)
def test_what_makes_no_sense_is_a_usage_fault(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        options.parse(arguments, {})
    assert ended.value.code == 2
    assert arguments[0] in capsys.readouterr().err


def test_the_environment_is_passed_on_but_for_what_the_run_decides() -> None:
    environment = {"OTEL_SDK_DISABLED": "1", "DATABASE_URL": "postgresql://x", "PYTHONDONTWRITEBYTECODE": "1"}
    chosen = options.parse(["--state-dir", "relative"], environment)
    assert chosen.environment == {"OTEL_SDK_DISABLED": "1"}
    assert chosen.database_url == "postgresql://x"
    assert chosen.state_dir == Path.cwd() / "relative"
