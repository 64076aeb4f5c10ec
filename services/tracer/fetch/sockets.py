"""Tracks the sockets of one walk, and stops them when its lease is over.

When libcurl ends a transfer it still sends: an alert for TLS, a reset for an HTTP/2 stream. The next holder of
the proxy must not see them leave from its address. So the sockets of a walk whose lease is over are shut down below
libcurl, before it acts on them again.
"""

import contextlib
import os
import socket
import struct
import time

import pycurl

# The offset of tcpi_bytes_received in Linux's struct tcp_info, and what is read to reach it.
_BYTES_RECEIVED_AT = 128
_TCP_INFO_BYTES = _BYTES_RECEIVED_AT + 8


class Sockets:
    """The sockets that libcurl opened for one walk."""

    __slots__ = ("_opened", "_until", "_watched", "received")

    def __init__(self, until: float | None, *, watched: bool = False) -> None:
        """Allows their use until `until`, in seconds of the monotonic clock; without end if None.

        `watched` keeps count of what each new socket receives, for which libcurl has no word.
        """
        self._until = until
        self._watched: int | None = -1 if watched else None
        self.received = 0
        """Bytes that the last opened socket had received at `settle`; 0 unless `watched`."""
        # By the time it is looked at again a descriptor may be another file; the inode tells.
        self._opened: list[tuple[int, int]] = []

    @property
    def count(self) -> int:
        """How many sockets were opened."""
        return len(self._opened)

    @property
    def late(self) -> bool:
        """Whether the lease is over."""
        return self._until is not None and time.monotonic() >= self._until

    def opened(self, fd: int, _purpose: int) -> int:
        """Records a socket that is about to be connected; refuses it when the lease is over (SOCKOPTFUNCTION)."""
        if self.late:
            return pycurl.SOCKOPT_ERROR
        self._opened.append((fd, os.fstat(fd).st_ino))
        if self._watched is not None:
            self.settle()
            self._watched = os.dup(fd)
        return pycurl.SOCKOPT_OK

    def settle(self) -> None:
        """Reads `received`, and lets go of the socket, which libcurl may have closed long ago. Idempotent."""
        if self._watched is None or self._watched < 0:
            return
        with socket.socket(fileno=self._watched) as same:
            self._watched = -1
            told = same.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
        (self.received,) = struct.unpack_from("=Q", told, _BYTES_RECEIVED_AT)

    def part_if_late(self) -> None:
        """Shuts every socket down if the lease is over, so that nothing more leaves through them. Idempotent."""
        if not self.late:
            return
        for fd, inode in self._opened:
            with contextlib.suppress(OSError):
                if os.fstat(fd).st_ino == inode:
                    with socket.socket(fileno=os.dup(fd)) as same:
                        same.shutdown(socket.SHUT_RDWR)
