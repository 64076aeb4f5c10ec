"""`make soak` runs: a process of each service is restarted under clicks, and the books agree."""

import pytest

from tests.support import smoke

pytestmark = pytest.mark.timeout(300)


def test_the_books_agree_after_restarts() -> None:
    assert ", 0 problems" in smoke.output("soak").splitlines()[-1]
