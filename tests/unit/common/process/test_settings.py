"""Settings are read from the environment once, and every fault is reported at once under the name of its variable."""

from collections.abc import Mapping
from typing import ClassVar

import pytest
from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from libs.common.process.settings import (
    DatabaseSettings,
    OperatorSettings,
    ServerSettings,
    Settings,
    SettingsError,
    load,
    read,
    retired,
)
from libs.common.process.values import Address, CommaList, Networks, PeerName, Seconds, Spans


class Sample(DatabaseSettings):
    model_config = SettingsConfigDict(env_prefix="SAMPLE_")

    retired: ClassVar[Mapping[str, str]] = {"SAMPLE_DELAY": "SAMPLE_PAUSE"}

    listen: Address = Address("127.0.0.1", 1)
    pause: Seconds = Field(1.0, gt=0, le=60)
    names: CommaList = ()
    networks: Networks = ()
    workers: int = Field(2, ge=1, le=8)
    token: SecretStr = SecretStr("")
    peer: PeerName = "peer"
    admin_listen: Address | None = Address("127.0.0.1", 2)
    spare_listen: Address | None = None
    spans: Spans = {}  # noqa: RUF012 - pydantic copies it
    required_names: CommaList = Field(("one",), min_length=1)


@pytest.fixture(autouse=True)
def database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://user:secret@127.0.0.1:1/db")


def faults(cls: type[Settings]) -> list[str]:
    """Returns what is said of the environment."""
    with pytest.raises(SettingsError) as caught:
        read(cls)
    return str(caught.value).splitlines()


def test_values_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://user:secret@127.0.0.1:1/db")
    monkeypatch.setenv("SAMPLE_LISTEN", "[::1]:50051")
    monkeypatch.setenv("SAMPLE_PAUSE", "250ms")
    monkeypatch.setenv("SAMPLE_NAMES", ".localhost, .test")
    monkeypatch.setenv("SAMPLE_NETWORKS", "127.0.0.0/8,::1/128")
    monkeypatch.setenv("LOG_FORMAT", "json")
    settings = read(Sample)
    assert (settings.listen.host, settings.listen.port, str(settings.listen)) == ("::1", 50051, "[::1]:50051")
    assert settings.pause == 0.25
    assert settings.names == (".localhost", ".test")
    assert [str(network) for network in settings.networks] == ["127.0.0.0/8", "::1/128"]
    assert settings.log_format == "json"


def test_all_faults_are_named_at_once_and_no_value_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.setenv("SAMPLE_LISTEN", "nowhere")
    monkeypatch.setenv("SAMPLE_PAUSE", "soon")
    monkeypatch.setenv("SAMPLE_WORKERS", "99")
    with pytest.raises(SettingsError) as caught:
        read(Sample)
    lines = str(caught.value).splitlines()
    assert [line.split(":")[0] for line in sorted(lines)] == [
        "DATABASE_URL",
        "SAMPLE_LISTEN",
        "SAMPLE_PAUSE",
        "SAMPLE_WORKERS",
    ]


SPAN = "a span of time such as 250ms, 30s, 5m, 1h or 1d"


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("SAMPLE_WORKERS", "9", "'9' is out of range; write a whole number, from 1 to 8"),
        ("SAMPLE_WORKERS", "two", "'two' is not understood; write a whole number, from 1 to 8"),
        ("SAMPLE_WORKERS", " ", "is empty; write a whole number, from 1 to 8, or do not set it"),
        ("SAMPLE_PAUSE", "1h", f"1h is out of range; write {SPAN}, more than 0s, up to 1m"),
        ("SAMPLE_PAUSE", "-1", f"'-1' is not understood; write {SPAN}, more than 0s, up to 1m"),
        (
            "SAMPLE_LISTEN",
            "",
            "is empty; write an address as host:port, [v6]:port, or :port for every interface, or do",
        ),
        ("SAMPLE_NETWORKS", "10.0.0.0/8,nowhere", "'nowhere' is not understood; write networks separated by commas"),
        ("SAMPLE_SPANS", "a=1s,b=soon", "its part 'b=soon' is not understood; write names with spans of time such as"),
        ("SAMPLE_REQUIRED_NAMES", ",", "is empty; write words separated by commas"),
        ("SAMPLE_TOKEN", "", "is empty; write a secret, or do not set it"),
        ("LOG_LEVEL", "loud", "'loud' is not understood; write one of debug, info, warning, error"),
        ("DATABASE_URL", "", "is empty; write postgresql://user:password@host:port/database"),
        ("DATABASE_LISTEN_URL", "mysql://me:marker@host/db", "it is not understood; write postgresql://user:password@"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "lots", "'lots' is not understood; write a whole number, from 512 to 1000000"),
    ],
)
def test_a_fault_says_what_is_wrong_and_what_to_write(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str
) -> None:
    monkeypatch.setenv(variable, value)
    (line,) = faults(Sample)
    assert line.startswith(f"{variable}: {said}")
    assert "marker" not in line


def test_an_empty_value_is_none_where_none_is_a_value(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PEER", "SPARE_LISTEN", "SPANS", "NAMES", "NETWORKS"):
        monkeypatch.setenv(f"SAMPLE_{name}", "")
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "")
    chosen = read(Sample)
    assert (chosen.peer, chosen.spare_listen, chosen.spans, chosen.names, chosen.networks) == ("", None, {}, (), ())
    assert chosen.span_queue == 16_384


def test_a_misspelt_variable_is_told_with_the_other_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMPLE_WORKER", "3")
    monkeypatch.setenv("SAMPLE_PAUSE", "soon")
    misspelt, other = faults(Sample)
    assert misspelt == "SAMPLE_WORKER: there is no such setting; the nearest is SAMPLE_WORKERS"
    assert other.startswith("SAMPLE_PAUSE: ")


def test_a_retired_variable_is_ignored_and_named_with_what_replaced_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(retired(Sample)) == []
    monkeypatch.setenv("SAMPLE_DELAY", "no span of time")
    assert read(Sample).pause == 1.0
    assert list(retired(Sample)) == [("SAMPLE_DELAY", "SAMPLE_PAUSE")]


def test_load_exits_with_2_and_says_why(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    with pytest.raises(SystemExit) as caught:
        load(Sample)
    assert caught.value.code == 2
    assert "DATABASE_URL: is not set" in capsys.readouterr().err


def test_a_secret_does_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://user:secret@127.0.0.1:1/db")
    monkeypatch.setenv("SAMPLE_TOKEN", "marker")
    settings = read(Sample)
    assert "marker" not in repr(settings)
    assert settings.token.get_secret_value() == "marker"


class Operated(OperatorSettings):
    model_config = SettingsConfigDict(env_prefix="OPERATED_")


def test_reads_are_protected_only_where_that_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPERATED_OPERATOR_TOKEN", "open sesame")
    assert read(Operated).read_token == ""
    monkeypatch.setenv("OPERATED_PROTECT_READS", "true")
    assert read(Operated).read_token == "open sesame"


def test_reads_cannot_be_protected_by_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPERATED_PROTECT_READS", "true")
    with pytest.raises(SettingsError, match="OPERATED_PROTECT_READS: there is no operator token"):
        read(Operated)


class Served(ServerSettings):
    model_config = SettingsConfigDict(env_prefix="SERVED_")

    _exposed = ("listen", "admin_listen", "target")

    listen: Address = Address("127.0.0.1", 1)
    admin_listen: Address | None = None
    target: str = "dns:///127.0.0.1:1"


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {
            "SERVED_LISTEN": "[::1]:1",
            "SERVED_ADMIN_LISTEN": "localhost:2",
            "SERVED_TARGET": "ipv4:127.0.0.1:1,127.0.0.2:1",
        },
        {"SERVED_TARGET": "dns://10.0.0.10:53/localhost:1"},
        {"SERVED_TARGET": "unix:/run/pool.sock"},
        {"SERVED_LISTEN": ":1", "SERVED_TLS_DIR": "/tls"},
        {"SERVED_LISTEN": ":1", "SERVED_PLAINTEXT": "true"},
        {"SERVED_HEALTH_LISTEN": ":3"},
    ],
)
def test_plaintext_on_this_machine_or_when_asked_for(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    read(Served)


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({"SERVED_LISTEN": ":1"}, "SERVED_LISTEN"),
        ({"SERVED_LISTEN": ":1", "SERVED_ADMIN_LISTEN": "10.0.0.1:2"}, "SERVED_LISTEN, SERVED_ADMIN_LISTEN"),
        ({"SERVED_TARGET": "dns:///pool-manager:50051"}, "SERVED_TARGET"),
        ({"SERVED_TARGET": "pool-manager:50051"}, "SERVED_TARGET"),
        ({"SERVED_TARGET": "ipv4:127.0.0.1:1,10.0.0.1:1"}, "SERVED_TARGET"),
        ({"SERVED_TARGET": "dns://127.0.0.1:53/pool-manager:50051"}, "SERVED_TARGET"),
    ],
)
def test_plaintext_between_machines_must_be_asked_for(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], named: str
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    prefix = "involves other machines, and SERVED_TLS_DIR is not set; set it, or SERVED_PLAINTEXT=true if the network"
    assert faults(Served) == [f"{name}: {prefix} between them is to be trusted" for name in named.split(", ")]


def test_plaintext_that_nobody_asked_for_is_told_with_the_other_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVED_LISTEN", ":1")
    monkeypatch.setenv("LOG_LEVEL", "loud")
    assert [line.partition(":")[0] for line in faults(Served)] == ["LOG_LEVEL", "SERVED_LISTEN"]
