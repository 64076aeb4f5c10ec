"""The gateway takes addresses of other machines only with TLS or where plaintext is meant; some values may be empty."""

import pytest

from libs.common.process.settings import SettingsError, read
from services.gateway.settings import GatewaySettings

EXPOSED = ("GRPC_LISTEN", "POOL_TARGET", "POOL_ADMIN_TARGET", "TRACER_TARGET")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("DATABASE_URL", "postgresql://user:password@127.0.0.1/database")
    return monkeypatch


@pytest.mark.parametrize("name", EXPOSED)
def test_what_others_reach_needs_tls_or_a_word(environment: pytest.MonkeyPatch, name: str) -> None:
    environment.setenv(f"GATEWAY_{name}", "host:1")
    with pytest.raises(SettingsError, match=f"^GATEWAY_{name}: involves other machines"):
        read(GatewaySettings)
    environment.setenv("GATEWAY_PLAINTEXT", "true")
    read(GatewaySettings)


@pytest.mark.parametrize("name", ["LISTEN", "INTERNAL_LISTEN"])
def test_http_is_nobodys_matter_but_the_ingress(environment: pytest.MonkeyPatch, name: str) -> None:
    environment.setenv(f"GATEWAY_{name}", ":1")
    read(GatewaySettings)


def test_an_empty_identity_is_that_of_the_target(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("GATEWAY_POOL_IDENTITY", "")
    assert (read(GatewaySettings).pool_identity, read(GatewaySettings).tracer_identity) == ("", "tracer")


def test_no_token_is_none_and_an_empty_one_a_fault(environment: pytest.MonkeyPatch) -> None:
    assert read(GatewaySettings).operator_token.get_secret_value() == ""
    environment.setenv("GATEWAY_OPERATOR_TOKEN", "")
    with pytest.raises(SettingsError, match=r"^GATEWAY_OPERATOR_TOKEN: is empty"):
        read(GatewaySettings)
