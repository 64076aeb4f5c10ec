"""The board finds a click where it is furthest on, and has room for so many viewers."""

from collections.abc import Iterator
from typing import Any, cast

import pytest

from libs.common.errors import ClicktraceError
from services.gateway.console.board import Board, Sources
from services.gateway.console.markup import Html
from services.gateway.model import ClickRecord, ClickStatus
from tests.unit.gateway.console.samples import record

RUNNING = record(click_id="1" * 32, status=ClickStatus.TRACING)
STORED = record(click_id="1" * 32, status=ClickStatus.PENDING), record(click_id="2" * 32)


class Log:
    """The records that are written."""

    async def get(self, click_id: str) -> ClickRecord | None:
        return next((one for one in STORED if one.click_id == click_id), None)


class Running:
    """The clicks whose traces go on: one."""

    def record_of(self, click_id: str) -> ClickRecord | None:
        return RUNNING if click_id == RUNNING.click_id else None

    def under_way(self, most: int) -> Iterator[ClickRecord]:
        return iter([RUNNING][:most])


def board() -> Board:
    unused = cast("Any", None)
    return Board(
        Sources(
            pool=unused,
            feed=unused,
            log=cast("Any", Log()),
            clicks=Running(),
            health=unused,
            offers=lambda _health: Html(""),
        ),
        version="1",
    )


async def test_a_running_click_is_further_on_than_its_record_in_the_log() -> None:
    assert await board().find("1" * 32) == RUNNING
    assert await board().find("2" * 32) == STORED[1]
    assert await board().find("3" * 32) is None


async def test_a_viewer_too_many_is_refused_and_one_who_leaves_makes_room() -> None:
    full = board()
    views = [full.viewer() for _ in range(101)]
    for view in views[:100]:
        view.__enter__()
    with pytest.raises(ClicktraceError, match="TOO_MANY_VIEWERS"):
        views[100].__enter__()
    views[0].__exit__(None, None, None)
    with full.viewer():
        pass
