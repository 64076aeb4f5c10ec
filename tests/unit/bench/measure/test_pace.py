"""Steps begin at an even pace, each once, whatever becomes of those before."""

import asyncio

import pytest

from bench.measure.pace import paced


async def test_each_step_is_taken_once_and_answers_come_in_order() -> None:
    release = asyncio.Event()

    async def step(number: int) -> int:
        # The first does not end before the last has begun.
        if number == 9:
            release.set()
        await release.wait()
        return number * 10

    assert await paced(step, rate=1000.0, seconds=0.01) == [number * 10 for number in range(10)]


async def test_no_step_is_taken_in_no_time() -> None:
    async def step(number: int) -> int:
        raise AssertionError(number)

    assert await paced(step, rate=1000.0, seconds=0.0) == []


async def test_a_step_that_fails_ends_the_rest() -> None:
    async def step(number: int) -> None:
        if number == 1:
            raise ValueError("the second")
        await asyncio.Event().wait()

    with pytest.raises(ExceptionGroup, match="unhandled errors"):
        await paced(step, rate=1000.0, seconds=0.01)
