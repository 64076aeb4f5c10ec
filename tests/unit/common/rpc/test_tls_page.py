"""The settings that docs/mtls.md and docs/database.md list are those that the services read, with their defaults."""

import re
from itertools import chain
from pathlib import Path

import pytest

from libs.common.process.settings import DatabaseSettings, Settings
from services.gateway.settings import GatewaySettings
from services.pool_manager.settings import PoolSettings
from services.tracer.settings import TracerSettings

ROOT = Path(__file__).resolve().parents[4]
SERVICES: dict[str, type[Settings]] = {"POOL": PoolSettings, "TRACER": TracerSettings, "GATEWAY": GatewaySettings}
ROWS = re.findall(r"^\| (`[A-Z*_`, ]+`) \| ([^|]*) \|", (ROOT / "docs/mtls.md").read_text(), re.MULTILINE)
VARIABLES = list(chain.from_iterable(re.findall(r"`([A-Z*_]+)`", names) for names, _ in ROWS))


@pytest.mark.parametrize("variable", VARIABLES)
def test_a_setting_of_the_page_is_read(variable: str) -> None:
    prefix, _, name = variable.partition("_")
    for service in SERVICES.values() if prefix == "*" else [SERVICES[prefix]]:
        # The identity of a pool manager is a setting of its client, the command `provision`.
        assert name.lower() in service.model_fields or variable == "POOL_IDENTITY"


@pytest.mark.parametrize(
    ("prefix", "name", "default"),
    [
        ("POOL", "gateway_identities", ("gateway",)),
        ("TRACER", "gateway_identities", ("gateway",)),
        ("POOL", "operator_identities", ("operator",)),
        ("GATEWAY", "operator_identities", ("operator",)),
        ("GATEWAY", "pool_identity", "pool-manager"),
        ("GATEWAY", "tracer_identity", "tracer"),
        ("POOL", "plaintext", False),
    ],
)
def test_the_defaults_are_those_of_the_page(prefix: str, name: str, default: object) -> None:
    assert SERVICES[prefix].model_fields[name].default == default


def test_the_page_lists_what_there_is() -> None:
    listed = {name.partition("_")[2].lower() for name in VARIABLES}
    assert {
        "tls_dir",
        "plaintext",
        "health_listen",
        "admin_listen",
        "gateway_identities",
        "operator_identities",
    } <= listed


def test_the_urls_of_the_database_are_read() -> None:
    aliases = {str(field.validation_alias) for field in DatabaseSettings.model_fields.values()}
    page = (ROOT / "docs/database.md").read_text()
    assert set(re.findall(r"^\| `(DATABASE_\w+)`", page, re.MULTILINE)) == {"DATABASE_URL", "DATABASE_LISTEN_URL"}
    assert {"DATABASE_URL", "DATABASE_LISTEN_URL"} <= aliases
