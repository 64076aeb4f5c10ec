"""Ports for what is started for a while: systems of tests and of benchmarks."""

import random
import socket
from collections.abc import Sequence
from contextlib import ExitStack, closing, suppress

# Below those that the kernel gives to outgoing connections, which could take a port before its server starts.
_FIRST, _LAST = 10_000, 32_000


def free_ports(count: int) -> Sequence[int]:
    """Returns ports that nobody has now on any address of this machine."""
    with ExitStack() as stack:
        found: list[int] = []
        while len(found) < count:
            opened = stack.enter_context(closing(socket.socket()))
            with suppress(OSError):
                opened.bind(("0.0.0.0", random.randint(_FIRST, _LAST)))  # noqa: S104, S311 - held for no time; no secret
                found.append(opened.getsockname()[1])
        return found
