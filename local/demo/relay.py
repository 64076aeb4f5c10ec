"""Moves bytes both ways between two connections until both sides are done."""

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_CHUNK = 64 * 1024


async def relay(
    left_reader: StreamReader, left_writer: StreamWriter, right_reader: StreamReader, right_writer: StreamWriter
) -> None:
    """Moves bytes both ways; the end of one direction is passed on as such and does not end the other (half-close).

    Returns when both directions have ended. Raises OSError, and drops both, when one connection breaks.
    """
    async with asyncio.TaskGroup() as group:
        group.create_task(_one_way(left_reader, right_writer))
        group.create_task(_one_way(right_reader, left_writer))


async def _one_way(source: StreamReader, target: StreamWriter) -> None:
    while data := await source.read(_CHUNK):
        target.write(data)
        await target.drain()
    if target.can_write_eof():
        target.write_eof()


@asynccontextmanager
async def closing(writer: StreamWriter) -> AsyncIterator[StreamWriter]:
    """Closes a connection at the end of the block: in order if the block ended so, else at once."""
    try:
        yield writer
    except BaseException:
        writer.transport.abort()
        raise
    else:
        writer.close()
        try:
            await writer.wait_closed()
        except OSError:
            writer.transport.abort()
