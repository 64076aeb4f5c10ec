"""What the tests with programs of others need: the programs, and a running system."""

import shutil
from collections.abc import Iterator

import pytest

from tests.support.system import System, state_directory


@pytest.fixture(scope="session")
def grpcurl() -> str:
    """Returns the path of grpcurl; without one the test says what is missing."""
    path = shutil.which("grpcurl")
    if path is None:
        pytest.skip("grpcurl is missing: go install github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.3")
    return path


@pytest.fixture(scope="session")
def system() -> Iterator[System]:
    """Runs the system."""
    with state_directory() as state, System(state, ("--cooldown", "1s")) as system:
        yield system
