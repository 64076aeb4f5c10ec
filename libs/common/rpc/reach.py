"""Waits for a channel that has lost its last replica to reconnect."""

import asyncio
import math

import grpc
from grpc import aio

# A channel looks for a replica that was away at least this often (`grpc.max_reconnect_backoff_ms`, with its jitter), so
# after twice that time there is no replica, and waiting longer does not help.
_RECONNECT_SECONDS = 2.5


class Reach:
    """Watches one channel; belongs to its event loop."""

    def __init__(self, channel: aio.Channel) -> None:
        """Watches a channel that its owner closes."""
        self._channel = channel
        # None while somebody was there at the last look. Who was never there is not waited for.
        self._gone_since: float | None = -math.inf

    async def wait(self, within: float) -> bool:
        """Says whether a call can be made; waits for that up to `within` seconds where it could be a moment ago.

        A replica that has just come back is not known yet when the next one goes: that is no reason to give up. Where
        nobody was there for some seconds, the answer comes at once.
        """
        loop = asyncio.get_running_loop()
        state = self._state()
        if state is not grpc.ChannelConnectivity.TRANSIENT_FAILURE:
            return True
        if self._gone_since is None:
            self._gone_since = loop.time()
        try:
            async with asyncio.timeout_at(min(loop.time() + within, self._gone_since + _RECONNECT_SECONDS)):
                while state is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
                    await self._channel.wait_for_state_change(state)
                    state = self._state()
        except TimeoutError:
            return False
        return True

    def _state(self) -> grpc.ChannelConnectivity:
        state = self._channel.get_state(try_to_connect=True)
        if state is grpc.ChannelConnectivity.READY:
            self._gone_since = None
        return state
