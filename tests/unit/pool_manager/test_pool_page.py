"""The settings that docs/pool.md lists are those that the service reads, with the defaults that it has."""

import re
from pathlib import Path

from pydantic_core import PydanticUndefined

from libs.common.process.settings import parse_seconds
from services.pool_manager.settings import PoolSettings

DOCS = Path(__file__).resolve().parents[3] / "docs"
PAGE = (DOCS / "pool.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| ((?:`POOL_\w+`(?:, )?)+) \| ([^|]+) \|", PAGE, re.MULTILINE)


def listed() -> dict[str, str]:
    variables: dict[str, str] = {}
    for names, defaults in ROWS:
        of_row = re.findall(r"`(POOL_\w+)`", names)
        values = [value.strip("` ") for value in defaults.split(",")]
        assert len(of_row) == len(values), names
        variables.update(zip(of_row, values, strict=True))
    return variables


def test_every_setting_is_listed_here_or_explained_on_another_page() -> None:
    own = {
        f"POOL_{name}".upper() for name, field in PoolSettings.model_fields.items() if field.validation_alias is None
    }
    assert listed().keys() <= own
    others = "".join(page.read_text(encoding="utf-8") for page in DOCS.glob("*.md"))
    assert {name for name in own - listed().keys() if name.removeprefix("POOL") not in others} == set()


def test_the_defaults_are_those_of_the_code() -> None:
    for variable, value in listed().items():
        default = PoolSettings.model_fields[variable.removeprefix("POOL_").lower()].default
        assert default is not PydanticUndefined, variable
        if not default and value == "none":
            continue
        if isinstance(default, float) and re.search(r"[smhd]$", value):
            assert parse_seconds(value) == default, variable
        elif isinstance(default, tuple):
            assert ",".join(default) == value, variable
        else:
            assert str(default).lower() == value.lower(), variable
