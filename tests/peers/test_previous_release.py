"""Old pods run beside new ones while a release rolls out: the previous release's code works over the new schema."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.system import ROOT

# What the services do with a database, from the outside.
TESTS = ("tests/integration/pool_manager/rpc/test_pool_manager.py", "tests/integration/gateway/clicks/test_service.py")


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def previous() -> str:
    """Returns the commit of the newest release before HEAD; empty if there is none. A clone may have no tags."""
    releases = git("log", "--extended-regexp", "--grep", r"^Release [0-9]+\.[0-9]+\.[0-9]+$", "--format=%H", "HEAD")
    return next((commit for commit in releases.split() if commit != git("rev-parse", "HEAD")), "")


@pytest.mark.timeout(600)
def test_the_previous_release_works_over_the_new_schema(tmp_path: Path) -> None:
    release = os.environ.get("PREVIOUS_RELEASE") or previous()
    if not release:
        pytest.skip("there is no release before this one")
    archive = tmp_path / "release.tar"
    git("archive", "--output", str(archive), release)
    old = tmp_path / "release"
    shutil.unpack_archive(archive, old)
    # Its `migrate` now does what ours does, so its tests run over our schema.
    for service in ("pool_manager", "gateway"):
        for directory in ("migrations", "functions"):
            theirs = old / "services" / service / "db" / directory
            shutil.rmtree(theirs)
            shutil.copytree(ROOT / "services" / service / "db" / directory, theirs)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTS],
        cwd=old, env=os.environ | {"PYTHONPATH": str(old)}, capture_output=True, text=True, check=False, timeout=500,
    )  # fmt: skip
    assert done.returncode == 0, f"{release}: {done.stdout[-4000:]}"
