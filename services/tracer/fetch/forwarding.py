"""Remembers which providers do not open tunnels for plain http, so that their proxies are asked to forward at once."""

import time
from collections import OrderedDict
from collections.abc import Callable

from services.tracer.model.request import Proxy

_KEPT_SECONDS = 600.0
"""Afterwards a tunnel is tried again, in case the provider allows them by now."""
_MOST = 10_000

Key = tuple[str, int]


class ForwardingMemory:
    """What was learned about providers and target ports; one per process.

    A proxy without a provider stands for itself.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Remembers nothing yet. `clock` is monotonic and in seconds."""
        self._clock = clock
        # When forwarding was learned, in seconds of the clock; None where a tunnel was ever opened.
        self._known: OrderedDict[Key, float | None] = OrderedDict()

    def forwards(self, proxy: Proxy, port: int) -> bool:
        """Returns whether requests for a port are forwarded without trying a tunnel first."""
        since = self._known.get(_key(proxy, port))
        return since is not None and self._clock() - since < _KEPT_SECONDS

    def tunnelled(self, proxy: Proxy, port: int) -> None:
        """Records that a tunnel to the port was opened; from then on tunnels are always tried first."""
        self._put(_key(proxy, port), None)

    def forwarded(self, proxy: Proxy, port: int) -> None:
        """Records that a tunnel to the port was refused and forwarding worked. No effect if a tunnel ever opened."""
        key = _key(proxy, port)
        if self._known.get(key, 0.0) is not None:
            self._put(key, self._clock())

    def _put(self, key: Key, value: float | None) -> None:
        self._known[key] = value
        self._known.move_to_end(key)
        if len(self._known) > _MOST:
            self._known.popitem(last=False)


def _key(proxy: Proxy, port: int) -> Key:
    return proxy.provider or f"{proxy.host}:{proxy.port}", port
