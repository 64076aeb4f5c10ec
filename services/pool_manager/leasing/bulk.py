"""Group commit for calls that bring one item and for calls that bring many, in the same statements."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import accumulate
from types import TracebackType
from typing import Generic, Self, TypeVar

from libs.common.batching import Grouper
from libs.common.errors import ClicktraceError

Item = TypeVar("Item")
Answer = TypeVar("Answer")

# Larger statements gain little, and while one is under way the answers of the one before can be written.
_MAX_STATEMENT = 128


class Bulk(Generic[Item, Answer]):
    """Runs items in statements that are as large as the load; what comes together stays together.

    `run` is given some items and returns an answer for each, in order. `abandoned` is told of the answers to items
    whose caller was cancelled meanwhile, each once.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Item]], Awaitable[Sequence[Answer]]],
        *,
        name: str,
        abandoned: Callable[[Item, Answer], None] | None = None,
    ) -> None:
        """Prepares it; it works while it is entered as an async context manager."""
        self._run = run
        self._abandoned = abandoned
        self._grouper: Grouper[Sequence[Item], Sequence[Answer]] = Grouper(
            self._run_chunks, max_group=_MAX_STATEMENT, size=len, name=name, abandoned=self._abandon
        )

    async def __aenter__(self) -> Self:
        await self._grouper.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._grouper.__aexit__(kind, error, trace)

    async def submit(self, item: Item) -> Answer:
        """Returns the answer to one item; raises what its statement raised."""
        (answer,) = await self._grouper.submit((item,))
        return answer

    async def submit_all(self, items: Sequence[Item]) -> Sequence[Answer | ClicktraceError]:
        """Returns an answer, or the error of its statement, for each of many items, in order."""
        chunks = [items[start : start + _MAX_STATEMENT] for start in range(0, len(items), _MAX_STATEMENT)]
        if len(chunks) == 1:
            return await self._submit_chunk(items)
        answers = await asyncio.gather(*(self._submit_chunk(chunk) for chunk in chunks))
        return [answer for of_chunk in answers for answer in of_chunk]

    async def _submit_chunk(self, chunk: Sequence[Item]) -> Sequence[Answer | ClicktraceError]:
        try:
            return await self._grouper.submit(chunk)
        except ClicktraceError as error:
            return [error] * len(chunk)

    async def _run_chunks(self, chunks: Sequence[Sequence[Item]]) -> Sequence[Sequence[Answer]]:
        answers = await self._run([item for chunk in chunks for item in chunk])
        ends = list(accumulate(map(len, chunks)))
        return [answers[end - len(chunk) : end] for chunk, end in zip(chunks, ends, strict=True)]

    def _abandon(self, chunk: Sequence[Item], answers: Sequence[Answer]) -> None:
        if self._abandoned is not None:
            for item, answer in zip(chunk, answers, strict=True):
                self._abandoned(item, answer)
