"""The image of the pool stays true to what its watches report."""

import pytest

from services.gateway.console import pool_image
from services.gateway.console.model import Cell, PoolChange, StateCounts
from services.gateway.console.pool_image import PoolImage


def cell(proxy_id: int, fence: int = 0, state: str = "AVAILABLE") -> Cell:
    return Cell(proxy_id, f"192.0.2.{proxy_id}:1", "us", "p", state, 0.0, None, 0, fence)


def told(*cells: Cell, total: int, gone: tuple[int, ...] = ()) -> PoolChange:
    census = StateCounts("", total, total, 0, 0, 0, 0, 0.0, None)
    return PoolChange(0.0, census, (), cells, gone)


def test_changes_are_taken_once_and_grants_are_counted_by_their_fence() -> None:
    image = PoolImage()
    image.apply(told(cell(1), cell(2), total=2))
    assert image.take_changes() == ([cell(1), cell(2)], [])
    assert image.take_changes() == ([], [])
    image.apply(told(cell(1, 5, "IN_USE"), cell(2), total=2))
    image.apply(told(cell(1, 5, "COOLDOWN"), total=2))
    assert image.take_changes() == ([cell(1, 5, "COOLDOWN")], [])
    assert image.grants == 1
    image.apply(told(total=1, gone=(2,)))
    assert image.take_changes() == ([], [2])


def test_what_a_new_watch_does_not_tell_of_is_gone() -> None:
    image = PoolImage()
    image.apply(told(cell(1), cell(2), cell(3), total=3))
    image.take_changes()
    image.begin()
    image.apply(told(cell(1), total=2))
    assert set(image.cells) == {1, 2, 3}, "the rest may still be told"
    image.apply(told(cell(4), total=2))
    assert image.take_changes() == ([cell(4)], [2, 3])
    image.begin()
    image.apply(told(total=0))
    assert not image.cells


def test_of_a_pool_too_large_to_show_some_stand_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_image, "MOST_CELLS", 2)
    image = PoolImage()
    image.apply(told(cell(1), cell(2), cell(3), cell(4), total=4))
    assert set(image.cells) == {1, 2}
    image.apply(told(cell(2, 1), cell(3, 2), total=4))
    assert image.grants == 2
    image.begin()
    image.apply(told(cell(2, 1), cell(3, 2), cell(4, 3), total=3))
    assert set(image.cells) == {2}
