"""Settings are read from the environment once, and every fault is reported at once under the name of its variable."""

import pytest

from libs.common.process.settings import (
    Address,
    CommaList,
    DatabaseSettings,
    Field,
    Networks,
    OperatorSettings,
    Seconds,
    SecretStr,
    ServerSettings,
    SettingsConfigDict,
    SettingsError,
    load,
    parse_seconds,
    read,
)


class Sample(DatabaseSettings):
    model_config = SettingsConfigDict(env_prefix="SAMPLE_")

    listen: Address = Address("127.0.0.1", 1)
    pause: Seconds = 1.0
    names: CommaList = ()
    networks: Networks = ()
    workers: int = Field(2, ge=1, le=8)
    token: SecretStr = SecretStr("")


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("60", 60), ("250ms", 0.25), ("1.5s", 1.5), ("2m", 120), ("1h", 3600), ("1d", 86400), (3, 3)],
)
def test_spans_of_time(written: object, seconds: float) -> None:
    assert parse_seconds(written) == seconds


@pytest.mark.parametrize("written", ["", "-1", "1 week", "nan", "inf", "1e9", True, "s"])
def test_what_is_no_span_of_time(written: object) -> None:
    with pytest.raises(ValueError, match="span of time"):
        parse_seconds(written)


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
    with pytest.raises(SettingsError) as caught:
        read(Served)
    assert str(caught.value) == (
        f"SERVED_TLS_DIR: is not set, though {named} involves other machines; set it, "
        "or SERVED_PLAINTEXT=true if the network between them is to be trusted"
    )
