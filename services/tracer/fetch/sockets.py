"""The sockets through which one walk leaves, and until when anything may leave through them.

libcurl ends a transfer whose time is over, but not without a word: it parts from a TLS session with an alert and from
an HTTP/2 stream with a reset. Whoever holds the proxy by then must not see them come from its address. So sockets of a
walk whose lease is over are shut down below libcurl, before it acts on them again.
"""

import contextlib
import os
import socket
import time

import pycurl


class Sockets:
    """The sockets of one walk, as libcurl opens them."""

    __slots__ = ("_opened", "_until")

    def __init__(self, until: float | None) -> None:
        """Lets them be used until that moment of the monotonic clock; for ever if None."""
        self._until = until
        # A number may stand for another file by the time it is looked at again; the inode tells.
        self._opened: list[tuple[int, int]] = []

    @property
    def count(self) -> int:
        """How many were opened."""
        return len(self._opened)

    @property
    def late(self) -> bool:
        """Whether their time is over."""
        return self._until is not None and time.monotonic() >= self._until

    def opened(self, fd: int, _purpose: int) -> int:
        """Notes a socket that is about to be connected; refuses it when it is too late (SOCKOPTFUNCTION)."""
        if self.late:
            return pycurl.SOCKOPT_ERROR
        self._opened.append((fd, os.fstat(fd).st_ino))
        return pycurl.SOCKOPT_OK

    def part_if_late(self) -> None:
        """Shuts every socket down if their time is over, so that nothing more leaves through them."""
        if not self.late:
            return
        for fd, inode in self._opened:
            with contextlib.suppress(OSError):
                if os.fstat(fd).st_ino == inode:
                    with socket.socket(fileno=os.dup(fd)) as same:
                        same.shutdown(socket.SHUT_RDWR)
