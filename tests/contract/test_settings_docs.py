"""docs/settings.md lists every setting as it is declared, and documents and manifests name no variable that is none.

With REFRESH_DOCS=1 (`make reference`) the page and the list of variables that services know are written anew.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.sdk import environment_variables

from libs.common.process import variables
from libs.common.process.declared import Setting
from libs.common.process.settings import Settings, SettingsError, read
from tests.support import reference

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "settings.md"
LIST = ROOT / "libs" / "common" / "process" / "variables.py"
MARK = "<!-- What follows is written by `make reference` from the declarations in the code. -->\n\n"
ROW = re.compile(r"^\| `([A-Z_]+)` \| (\S.*?) \| (.+?) \| (.*?) \|", re.MULTILINE)
VARIABLE = re.compile(r"\b(?:CLICKTRACE|GATEWAY|POOL|TRACER|DATABASE|LOG|OTEL)_[A-Z]+(?:_[A-Z]+)*\b")
NEEDED = {"DATABASE_URL": "postgresql://127.0.0.1/clicktrace"}

pytestmark = pytest.mark.usefixtures("bare")


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves no setting in the environment but what is required."""
    for name in variables.KNOWN:
        monkeypatch.delenv(name, raising=False)
    for name, value in NEEDED.items():
        monkeypatch.setenv(name, value)


def test_what_is_generated_is_up_to_date() -> None:
    prose = PAGE.read_text().partition(MARK)[0]
    page = prose + MARK + reference.tables()
    if os.environ.get("REFRESH_DOCS") == "1":
        PAGE.write_text(page)
        LIST.write_text(reference.variables())
    assert PAGE.read_text() == page, "run make reference"
    assert LIST.read_text() == reference.variables(), "run make reference"


def settings() -> Iterator[tuple[type[Settings], Setting]]:
    for cls in reference.SERVICES.values():
        for setting in Setting.all_of(cls):
            yield cls, setting


def test_every_setting_says_what_it_sets() -> None:
    for _, setting in settings():
        assert re.fullmatch(r"[A-Z`].+\.", setting.meaning), setting.variable


def test_every_number_has_a_range_and_a_unit() -> None:
    for _, setting in settings():
        if setting.kind in (int, float):
            assert None not in setting.bounds[:2], setting.variable
            assert setting.unit, setting.variable


@pytest.mark.parametrize("title", reference.SERVICES)
def test_what_the_page_shows_as_default_is_the_default(title: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cls = reference.SERVICES[title]
    section = PAGE.read_text().partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    shown = {row[1]: row[2] for row in ROW.finditer(section)}
    own = reference.own(cls)
    assert shown.keys() == own.keys()
    before = read(cls)
    for variable, default in shown.items():
        if default != "none":
            monkeypatch.setenv(variable, default.strip("`"))
        elif not own[variable].is_secret or own[variable].field.default is None:
            monkeypatch.setenv(variable, "")
    assert {name: str(value) for name, value in read(cls)} == {name: str(value) for name, value in before}


@pytest.mark.parametrize(
    ("cls", "setting"), [each for each in settings() if each[1].range], ids=lambda each: str(each)[:0]
)
def test_the_ends_of_a_range_are_in_it_and_what_is_beyond_is_not(
    cls: type[Settings], setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    low, high, open_below = setting.bounds
    assert low is not None
    assert high is not None
    for value in [high] if open_below else [low, high]:
        monkeypatch.setenv(setting.variable, setting.show(value))
        assert getattr(read(cls), setting.name) == value
    for value in [low if open_below else low - 1, high + 1]:
        monkeypatch.setenv(setting.variable, f"{value:.0f}")
        with pytest.raises(SettingsError) as caught:
            read(cls)
        assert str(caught.value).startswith(f"{setting.variable}: ")
        assert str(caught.value).endswith(setting.expected)


def test_the_example_is_what_a_service_says() -> None:
    head = PAGE.read_text().partition(MARK)[0]
    assignments = re.findall(r"[A-Z_]+=\w*", head.partition("```text")[0])
    done = subprocess.run(
        [sys.executable, "-m", "services.gateway", "migrate"],
        cwd=ROOT, env={**os.environ, **dict(each.split("=") for each in assignments)},
        capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert done.returncode == 2
    assert head.partition("```text\n")[2].partition("```")[0] == done.stderr


def named(*places: str) -> Iterator[tuple[str, str]]:
    """Yields every variable that files of the repository name, each with its file."""
    for place in places:
        for path in sorted(ROOT.glob(place)):
            if path.is_file():
                for name in VARIABLE.findall(path.read_text()):
                    yield name, str(path.relative_to(ROOT))


def exists(name: str) -> bool:
    return name in variables.KNOWN or hasattr(environment_variables, name)


def test_every_variable_of_the_manifests_exists() -> None:
    found = list(named("k8s/**/*.yaml", "k8s/**/*.env", "k8s/*.sh", "Dockerfile"))
    assert len(found) > 50
    assert [(name, place) for name, place in found if not exists(name)] == []


def test_every_variable_of_the_documents_exists() -> None:
    found = list(named("docs/**/*.md", "README.md", "CONTRIBUTING.md", "SECURITY.md"))
    assert len(found) > 100
    # Reasons look alike; in the code they are quoted.
    code = "".join(path.read_text() for top in ("services", "libs") for path in (ROOT / top).rglob("*.py"))
    missing = {(name, place) for name, place in found if not exists(name) and f'"{name}"' not in code}
    # The example of a misspelling is one.
    assert missing == {("GATEWAY_MAX_WIAT", "docs/settings.md")}
