"""A channel whose certificate is renewed: gRPC for Python can change those of a server, but not those of a channel."""

import asyncio
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import grpc
from grpc import aio

from libs.common.rpc import tls

_LOOK_SECONDS = 1.0
# A call that has been begun may still be on its way through the interceptors.
_HANDOVER_SECONDS = 1.0
# As long as servers let streams run on a connection that they renew.
_LONGEST_CALL_SECONDS = 120.0


class RenewedChannel(aio.Channel):
    """Makes each call on the newest of a row of channels; a new one is opened when the certificate files change.

    The one of before is closed when its last call has ended. Belongs to one event loop.
    """

    def __init__(self, files: tls.Files, open_channel: Callable[[tls.Material], aio.Channel]) -> None:
        """Opens the first channel."""
        self._files = files
        self._open = open_channel
        self._material = files.material
        self._channel = open_channel(self._material)
        self._looked = time.monotonic()
        self._retired: dict[asyncio.Task[None], aio.Channel] = {}

    def current(self) -> aio.Channel:
        """Returns the channel for a new call."""
        now = time.monotonic()
        if now - self._looked >= _LOOK_SECONDS:
            self._looked = now
            material = self._files.material
            if material is not self._material:
                retiring = asyncio.create_task(_retire(self._channel), name="retire-channel")
                self._retired[retiring] = self._channel
                retiring.add_done_callback(self._retired.pop)
                self._material, self._channel = material, self._open(material)
        return self._channel

    async def close(self, grace: float | None = None) -> None:
        """Closes all channels; calls that run may take `grace` seconds more."""
        await asyncio.gather(*(channel.close(grace) for channel in (self._channel, *self._retired.values())))
        tasks = tuple(self._retired)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        """Returns the state of the newest channel."""
        return self.current().get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """Waits for a change of the newest channel."""
        await self.current().wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        """Waits until the newest channel is connected."""
        await self.current().channel_ready()

    def unary_unary(self, *args: Any, **kwargs: Any) -> Any:
        """Describes a method of a service."""
        return _Method(self, "unary_unary", args, kwargs)

    def unary_stream(self, *args: Any, **kwargs: Any) -> Any:
        """Describes a method of a service."""
        return _Method(self, "unary_stream", args, kwargs)

    def stream_unary(self, *args: Any, **kwargs: Any) -> Any:
        """Describes a method of a service."""
        return _Method(self, "stream_unary", args, kwargs)

    def stream_stream(self, *args: Any, **kwargs: Any) -> Any:
        """Describes a method of a service."""
        return _Method(self, "stream_stream", args, kwargs)


class _Method:
    """A method of a service, on whatever channel is the newest at each call."""

    def __init__(self, owner: RenewedChannel, kind: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._owner = owner
        self._describe: Callable[[aio.Channel], Any] = lambda channel: getattr(channel, kind)(*args, **kwargs)
        self._channel: aio.Channel | None = None
        self._method: Any = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        channel = self._owner.current()
        if channel is not self._channel:
            self._channel, self._method = channel, self._describe(channel)
        return self._method(*args, **kwargs)


async def _retire(channel: aio.Channel) -> None:
    await asyncio.sleep(_HANDOVER_SECONDS)
    await channel.close(_LONGEST_CALL_SECONDS)
