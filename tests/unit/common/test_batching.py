"""Grouping adds no wait when idle, forms groups under load, and loses no item, result or failure."""

import asyncio
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.common.batching import Grouper


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
@given(items=st.lists(st.integers(0, 12), max_size=60))
async def test_sizes_add_up_to_the_bound_and_what_is_larger_goes_alone(items: list[int]) -> None:
    groups: list[Sequence[int]] = []

    async def run(group: Sequence[int]) -> Sequence[int | Exception]:
        groups.append(group)
        await asyncio.sleep(0)
        return group

    async with Grouper(run, max_group=8, size=lambda item: item) as grouper:
        assert await asyncio.gather(*(grouper.submit(item) for item in items)) == items
    assert [item for group in groups for item in group] == items
    assert all(sum(group) <= 8 or len(group) == 1 for group in groups)
    assert all(sum(group) + following[0] > 8 for group, following in pairwise(groups)), "not full"


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
