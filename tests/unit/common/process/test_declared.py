"""A setting tells from its declaration what it is called, how it is written and in which range."""

from typing import Annotated

import pytest
from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from libs.common.process.declared import Setting
from libs.common.process.settings import Settings
from libs.common.process.values import Address, CommaList, PeerName, Seconds, Unit


class Sample(Settings):
    model_config = SettingsConfigDict(env_prefix="SAMPLE_")

    workers: Annotated[int, Unit("processes")] = Field(2, ge=1, le=8)
    """How many
    work."""
    rate: Annotated[float | None, Unit("clicks a second")] = Field(None, gt=0, le=1_000_000)
    pause: Seconds = Field(90.0, ge=0.1, le=3600)
    names: CommaList = ("a", "b")
    listen: Address | None = None
    peer: PeerName = "peer"
    token: SecretStr = SecretStr("")
    needed: str = Field(validation_alias="NEEDED")


SPAN = "a span of time such as 250ms, 30s, 5m, 1h or 1d"
SETTINGS = {each.name: each for each in Setting.all_of(Sample)}


@pytest.mark.parametrize(
    ("name", "variable", "default", "expected", "unit"),
    [
        ("workers", "SAMPLE_WORKERS", "2", "a whole number, from 1 to 8", "processes"),
        ("rate", "SAMPLE_RATE", "none", "a number, more than 0, up to 1000000", "clicks a second"),
        (
            "pause",
            "SAMPLE_PAUSE",
            "90s",
            f"{SPAN}, from 100ms to 1h",
            "seconds",
        ),
        ("names", "SAMPLE_NAMES", "a,b", "words separated by commas", ""),
        ("listen", "SAMPLE_LISTEN", "none", "an address as host:port, [v6]:port, or :port for every interface", ""),
        ("peer", "SAMPLE_PEER", "peer", "a DNS name", ""),
        ("token", "SAMPLE_TOKEN", "none", "a secret", ""),
        ("needed", "NEEDED", "required", "text", ""),
    ],
)
def test_what_a_declaration_says(name: str, variable: str, default: str, expected: str, unit: str) -> None:
    setting = SETTINGS[name]
    assert (setting.variable, setting.default, setting.expected, setting.unit) == (variable, default, expected, unit)
    assert setting.is_secret == (name == "token")


def test_its_docstring_is_its_meaning_in_one_line() -> None:
    assert SETTINGS["workers"].meaning == "How many work."


def test_what_an_empty_value_stands_for() -> None:
    assert (SETTINGS["listen"].if_empty, SETTINGS["rate"].if_empty, SETTINGS["peer"].if_empty) == (None, None, "")
    for name in ("workers", "pause", "names", "token", "needed"):
        with pytest.raises(LookupError):
            assert SETTINGS[name].if_empty


def test_a_secret_is_never_shown() -> None:
    assert "marker" not in SETTINGS["token"].show(SecretStr("marker"))
