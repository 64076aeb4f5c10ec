"""The tracer reads lists of networks and hosts, and refuses a User-Agent that cannot travel."""

from pathlib import Path

import pytest

from libs.common.process.settings import SettingsError, read
from services.tracer.settings import TracerSettings


def test_lists_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACER_ALLOWED_NETWORKS", "127.0.0.0/8, ::1/128")
    monkeypatch.setenv("TRACER_ALLOWED_HOSTS", ".localhost,*")
    config = read(TracerSettings)
    assert [str(each) for each in config.allowed_networks] == ["127.0.0.0/8", "::1/128"]
    assert config.allowed_hosts == (".localhost", "*")


@pytest.mark.parametrize("value", ["agent\n", "ágent"])
def test_a_user_agent_that_cannot_travel(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("TRACER_USER_AGENT", value)
    with pytest.raises(SettingsError, match=r"^TRACER_USER_AGENT: .* write printable ASCII$"):
        read(TracerSettings)


def test_a_file_of_certificates_goes_before_that_of_the_system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TRACER_CA_FILE", str(tmp_path / "ca.pem"))
    assert read(TracerSettings).trusted_file() == str(tmp_path / "ca.pem")
