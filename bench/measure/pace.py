"""Load at an even pace: steps start on time, whether or not earlier ones have ended."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

Given = TypeVar("Given")


async def paced(step: Callable[[int], Coroutine[Any, Any, Given]], *, rate: float, seconds: float) -> list[Given]:
    """Begins `rate` steps a second and waits for all of them; returns what each gives, in order of their beginning.

    Each step is given its number, from 0.
    """
    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        tasks = []
        for number in range(round(rate * seconds)):
            await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
            tasks.append(group.create_task(step(number)))
    return [task.result() for task in tasks]
