"""Grouping adds no wait when idle, forms groups under load, and loses no item, result or failure."""

import asyncio
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.common.batching import Grouper
from libs.common.errors import ClicktraceError, Code


class Gate:
    """A run that waits until it is let through, so that a test decides what arrives meanwhile."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.entered = asyncio.Event()
        self.open = asyncio.Event()

    async def run(self, items: Sequence[int]) -> Sequence[int | Exception]:
        self.groups.append(list(items))
        self.entered.set()
        await self.open.wait()
        return [ValueError(str(item)) if item < 0 else item * 2 for item in items]


async def test_what_arrives_during_a_run_goes_into_the_next_one() -> None:
    gate = Gate()
    async with Grouper(gate.run, max_group=3) as grouper, asyncio.TaskGroup() as tasks:
        first = tasks.create_task(grouper.submit(1))
        await gate.entered.wait()
        rest = [tasks.create_task(grouper.submit(item)) for item in range(2, 7)]
        while grouper.depth < 5:
            await asyncio.sleep(0)
        gate.open.set()
    assert gate.groups == [[1], [2, 3, 4], [5, 6]]
    assert [await first, *[await task for task in rest]] == [2, 4, 6, 8, 10, 12]


async def test_one_bad_item_fails_alone() -> None:
    gate = Gate()
    gate.open.set()
    async with Grouper(gate.run, max_group=8) as grouper:
        results = await asyncio.gather(*(grouper.submit(item) for item in (1, -5, 3)), return_exceptions=True)
    assert results[0] == 2
    assert isinstance(results[1], ValueError)
    assert results[2] == 6


async def test_a_failed_run_fails_its_group_and_not_the_next() -> None:
    calls = 0

    async def run(items: Sequence[int]) -> Sequence[int | Exception]:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise ConnectionError("gone")
        return list(items)

    async with Grouper(run, max_group=8) as grouper:
        with pytest.raises(ConnectionError):
            await grouper.submit(1)
        assert await grouper.submit(2) == 2


async def test_a_run_that_returns_too_few_results_fails_its_group() -> None:
    async def run(items: Sequence[int]) -> Sequence[int | Exception]:
        return list(items)[1:]

    async with Grouper(run, max_group=8) as grouper:
        with pytest.raises(RuntimeError, match="a group of 1 got 0 results"):
            await grouper.submit(1)


async def test_a_submitter_cancelled_before_its_group_takes_its_item_along() -> None:
    gate = Gate()
    async with Grouper(gate.run, max_group=8) as grouper, asyncio.TaskGroup() as tasks:
        tasks.create_task(grouper.submit(1))
        await gate.entered.wait()
        waiting = tasks.create_task(grouper.submit(2))
        while grouper.depth < 1:
            await asyncio.sleep(0)
        waiting.cancel()
        gate.open.set()
    assert gate.groups == [[1]]


async def test_what_was_granted_to_a_cancelled_submitter_is_handed_back() -> None:
    gate = Gate()
    returned: list[tuple[int, int]] = []
    grouper = Grouper(gate.run, max_group=8, abandoned=lambda item, result: returned.append((item, result)))
    async with grouper, asyncio.TaskGroup() as tasks:
        leaving = tasks.create_task(grouper.submit(1))
        await gate.entered.wait()
        leaving.cancel()
        gate.open.set()
    assert returned == [(1, 2)]


async def test_leaving_finishes_what_was_submitted() -> None:
    gate = Gate()
    gate.open.set()
    async with Grouper(gate.run, max_group=1) as grouper:
        tasks = [asyncio.ensure_future(grouper.submit(item)) for item in range(5)]
        while grouper.depth < 5:
            await asyncio.sleep(0)
    assert await asyncio.gather(*tasks) == [0, 2, 4, 6, 8]
    with pytest.raises(RuntimeError):
        await grouper.submit(1)


@settings(max_examples=50, deadline=None)
@given(items=st.lists(st.integers(), max_size=60), size=st.integers(1, 10))
async def test_every_item_gets_its_own_result_in_groups_within_the_bound(items: list[int], size: int) -> None:
    seen: list[int] = []

    async def run(group: Sequence[int]) -> Sequence[int | Exception]:
        assert 1 <= len(group) <= size
        seen.extend(group)
        await asyncio.sleep(0)
        return [item + 1 for item in group]

    async with Grouper(run, max_group=size) as grouper:
        assert await asyncio.gather(*(grouper.submit(item) for item in items)) == [item + 1 for item in items]
    assert seen == items


@settings(max_examples=50, deadline=None)
@given(sizes=st.lists(st.integers(0, 20), max_size=60))
async def test_what_comes_together_stays_together_within_the_bound(sizes: list[int]) -> None:
    groups: list[Sequence[tuple[int, int]]] = []

    async def run(group: Sequence[tuple[int, int]]) -> Sequence[tuple[int, int]]:
        groups.append(group)
        await asyncio.sleep(0)
        return group

    calls = [[(call, place) for place in range(size)] for call, size in enumerate(sizes)]
    async with Grouper(run, max_group=8) as grouper:
        assert await asyncio.gather(*(grouper.submit_all(call) for call in calls)) == calls
    assert sorted(item for group in groups for item in group) == [item for call in calls for item in call]
    assert all(len(group) <= 8 for group in groups)
    parts = [Counter((call, place // 8) for call, place in group) for group in groups]
    assert all(size == min(8, sizes[call] - 8 * chunk) for part in parts for (call, chunk), size in part.items()), (
        "torn apart"
    )
    firsts = [next(iter(part.values())) for part in parts]
    assert all(len(group) + first > 8 for group, first in zip(groups, firsts[1:], strict=False)), "not full"


async def test_an_error_of_one_item_leaves_the_others_their_results() -> None:
    unavailable = ClicktraceError(Code.UNAVAILABLE, "GONE", "gone")

    async def run(group: Sequence[int]) -> Sequence[int | Exception]:
        return [unavailable if item == 2 else item for item in group]

    async with Grouper(run, max_group=8) as grouper:
        assert await grouper.submit_all([1, 2, 3]) == [1, unavailable, 3]


async def test_items_of_a_cancelled_submitter_are_handed_back_one_by_one() -> None:
    gate = Gate()
    returned: list[tuple[int, int]] = []
    grouper = Grouper(gate.run, max_group=8, abandoned=lambda item, result: returned.append((item, result)))
    async with grouper, asyncio.TaskGroup() as tasks:
        leaving = tasks.create_task(grouper.submit_all([1, 2]))
        await gate.entered.wait()
        leaving.cancel()
        gate.open.set()
    assert returned == [(1, 2), (2, 4)]


async def test_what_arrives_while_the_loop_is_read_goes_into_the_same_group() -> None:
    groups: list[list[int]] = []

    async def run(items: Sequence[int]) -> Sequence[int]:
        groups.append(list(items))
        return items

    async def submit(grouper: Grouper[int, int], item: int, turns: int) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
        await grouper.submit(item)

    async with Grouper(run, max_group=100) as grouper:
        # More than is waited for, so that what waited before must not be counted again.
        for _ in range(2):
            await asyncio.gather(*(submit(grouper, item, turns=0) for item in range(60)))
        groups.clear()
        # Far more turns in all than the loop is given for one arrival.
        await asyncio.gather(*(submit(grouper, item, turns=3 * item) for item in range(10)))
        assert groups == [list(range(10))]
        await grouper.submit(10)
        groups.clear()
        # Nothing is waited for where the last one came alone.
        await asyncio.gather(submit(grouper, 11, turns=0), submit(grouper, 12, turns=5))
    assert groups == [[11], [12]]
