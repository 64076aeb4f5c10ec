"""The version is written once, and everything that shows it reads it there."""

import re
import subprocess
import tomllib
from pathlib import Path

from libs.common.version import USER_AGENT, VERSION
from services.tracer.follow import walk
from services.tracer.settings import TracerSettings

ROOT = Path(__file__).resolve().parents[3]


def test_it_is_a_semantic_version() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", VERSION)


def test_nothing_else_states_it() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert "version" not in project
    assert "version" in project["dynamic"]
    typed = [
        str(path.relative_to(ROOT))
        for top in ("services", "libs", "local", "bench")
        for path in (ROOT / top).rglob("*.py")
        if re.search(r"Clicktrace/\d", path.read_text())
    ]
    assert typed == []


def test_the_tracer_names_it() -> None:
    assert VERSION.startswith(re.search(r"Clicktrace/([\d.]+);", USER_AGENT)[1] + ".")  # type: ignore[index]
    assert walk.Settings().user_agent == USER_AGENT
    assert TracerSettings.model_fields["user_agent"].default == USER_AGENT


def test_images_are_labelled_with_it(tmp_path: Path) -> None:
    builder = tmp_path / "buildah"
    builder.write_text('#!/bin/sh\necho "$@" >> "$0.calls"\n')
    builder.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "BUILDER": "buildah"}
    subprocess.run([ROOT / "k8s" / "images.sh", "tag"], env=environment, check=True, capture_output=True)
    calls = (tmp_path / "buildah.calls").read_text().splitlines()
    assert len(calls) == 3
    assert all(f"--label org.opencontainers.image.version={VERSION} " in call for call in calls)


def test_the_changelog_ends_its_releases_with_it() -> None:
    released = re.findall(r"^## \[(\d+\.\d+\.\d+)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert released[:1] in ([], [VERSION])
