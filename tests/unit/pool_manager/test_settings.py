"""Proves that the settings that hold lists are read, and that every fault in them is named."""

import pytest

from libs.common.process.settings import SettingsError, read
from services.pool_manager.settings import PoolSettings


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("DATABASE_URL", "postgresql://user:password@127.0.0.1/database")
    return monkeypatch


def test_lists_are_read(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("POOL_PROVIDER_COOLDOWNS", "luna=30s, other=2m")
    environment.setenv("POOL_PROVIDER_PRICES", "luna=0.001")
    environment.setenv("POOL_OFFER_WEIGHTS", "summer=2,winter=0.5")
    environment.setenv("POOL_COUNTRY_FALLBACKS", "gb>IE>fr,us>ca")
    config = read(PoolSettings)
    assert config.provider_cooldowns == {"luna": 30.0, "other": 120.0}
    assert config.provider_prices == {"luna": 0.001}
    assert config.offer_weights == {"summer": 2.0, "winter": 0.5}
    assert config.country_fallbacks == {"gb": ("ie", "fr"), "us": ("ca",)}


def test_without_anything_there_is_a_default() -> None:
    config = read(PoolSettings)
    assert (config.cooldown, config.failure_limit, config.country_fallbacks) == (60.0, 3, {})


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("POOL_PROVIDER_COOLDOWNS", "luna"),
        ("POOL_PROVIDER_COOLDOWNS", "luna=soon"),
        ("POOL_PROVIDER_COOLDOWNS", "luna=1,luna=2"),
        ("POOL_PROVIDER_PRICES", "luna=-1"),
        ("POOL_OFFER_WEIGHTS", "summer=0"),
        ("POOL_OFFER_WEIGHTS", "summer=nan"),
        ("POOL_COUNTRY_FALLBACKS", "gb"),
        ("POOL_COUNTRY_FALLBACKS", "gb>zz"),
        ("POOL_COUNTRY_FALLBACKS", "gb>gb"),
        ("POOL_PROBE_URL", "not a url"),
        ("POOL_FAILURE_LIMIT", "0"),
    ],
)
def test_every_fault_is_named(environment: pytest.MonkeyPatch, variable: str, value: str) -> None:
    environment.setenv(variable, value)
    environment.setenv("POOL_COOLDOWN", "-5")
    with pytest.raises(SettingsError) as caught:
        read(PoolSettings)
    named = [line.partition(":")[0] for line in str(caught.value).splitlines()]
    assert set(named) == {variable, "POOL_COOLDOWN"}
