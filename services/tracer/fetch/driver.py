"""Runs libcurl on asyncio: one multi handle for the process, driven by readiness and a timer, without threads.

The event loop watches one descriptor: an epoll of our own, in which libcurl's sockets are registered. A socket that is
idle between two hops so costs no registration and no callback, and a closed one needs no deregistration, because the
kernel forgets it. (Watching each socket with `add_reader` took twice the CPU per walk.) Linux only, therefore.
"""

import asyncio
import contextlib
import select
import time
from typing import NamedTuple, Self

import pycurl

from services.tracer.fetch.sockets import Sockets


class Outcome(NamedTuple):
    """How a transfer ended: the CURLcode, 0 for success, and libcurl's message."""

    code: int
    message: str


FINISHED = Outcome(0, "")

_EVENTS = {
    pycurl.POLL_IN: select.EPOLLIN,
    pycurl.POLL_OUT: select.EPOLLOUT,
    pycurl.POLL_INOUT: select.EPOLLIN | select.EPOLLOUT,
}
_READABLE = select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR
_WRITABLE = select.EPOLLOUT | select.EPOLLERR
_BATCH = 256
_STALL_SECONDS = 0.02
"""A timer this late means the process was suspended; leases may have expired."""


class _Transfer(NamedTuple):
    """A transfer in progress."""

    done: asyncio.Future[Outcome]
    sockets: Sockets


class Driver:
    """Runs transfers of easy handles; belongs to the event loop it was made in.

    An async context manager; leaving it drops every transfer.
    """

    def __init__(self) -> None:
        """Prepares the multi handle; an event loop must be running."""
        self._loop = asyncio.get_running_loop()
        self._beginning: dict[pycurl.Curl, _Transfer] = {}
        self._waiting: dict[pycurl.Curl, _Transfer] = {}
        # When libcurl wants to be called next, by the loop's clock, and the timer for it. The timer may be earlier:
        # one that fires in vain costs less than cancelling and arming it at every step.
        self._due: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._acting = False
        self._lingering: list[tuple[pycurl.Curl, float]] = []
        self._epoll = select.epoll()
        # The events that libcurl waits for on each of its sockets; 0 for a socket parked between hops.
        self._wanted: dict[int, int] = {}
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._on_socket)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._on_timer)
        self._loop.add_reader(self._epoll.fileno(), self._on_ready)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        for curl in [*self._beginning, *self._waiting]:
            self.finish(curl, Outcome(pycurl.E_ABORTED_BY_CALLBACK, "the driver is closing"))
        if self._timer is not None:
            self._timer.cancel()
        self._loop.remove_reader(self._epoll.fileno())
        self._multi.close()
        self._epoll.close()

    async def perform(self, curl: pycurl.Curl, sockets: Sockets) -> Outcome:
        """Runs the transfer of a handle to its end; cancellation drops it and closes its connection.

        Nothing leaves through `sockets` once their lease is over.
        """
        done: asyncio.Future[Outcome] = self._loop.create_future()
        if not self._beginning:
            self._loop.call_soon(self._begin)
        self._beginning[curl] = _Transfer(done, sockets)
        try:
            return await done
        finally:
            self._drop(curl)
            sockets.settle()

    def linger(self, curl: pycurl.Curl, seconds: float) -> None:
        """Ends a transfer after `seconds` unless it has ended by then; call it from a libcurl callback."""
        self._lingering.append((curl, seconds))

    def finish(self, curl: pycurl.Curl, outcome: Outcome = FINISHED) -> None:
        """Ends a transfer with `outcome`. Idempotent; not to be called from a libcurl callback."""
        transfer = self._drop(curl)
        if transfer is not None and not transfer.done.done():
            transfer.done.set_result(outcome)

    def _drop(self, curl: pycurl.Curl) -> _Transfer | None:
        """Removes a transfer from libcurl, or from those about to begin."""
        transfer = self._waiting.pop(curl, None)
        if transfer is None:
            return self._beginning.pop(curl, None)
        transfer.sockets.part_if_late()
        self._multi.remove_handle(curl)
        return transfer

    def _begin(self) -> None:
        """Begins all transfers that were requested in one turn of the loop.

        Their requests leave in a row, which saves most of the wake-ups of receivers.
        """
        beginning, self._beginning = self._beginning, {}
        if not beginning:
            # All were dropped, perhaps because the driver is closed.
            return
        self._acting = True
        for curl, transfer in beginning.items():
            if transfer.done.done():
                continue
            if transfer.sockets.late:
                transfer.done.set_result(Outcome(pycurl.E_OPERATION_TIMEDOUT, "the lease is over"))
            else:
                self._waiting[curl] = transfer
                self._multi.add_handle(curl)
        # libcurl wants to be called at once to begin; doing it here saves a timer.
        self._act(pycurl.SOCKET_TIMEOUT, 0)

    def _act(self, fd: int, mask: int) -> None:
        # After the process was suspended, expired leases and data that arrived meanwhile are handled together here.
        if self._due is not None and time.monotonic() - self._due > _STALL_SECONDS:
            for transfer in self._waiting.values():
                transfer.sockets.part_if_late()
        self._acting = True
        _, running = self._multi.socket_action(fd, mask)
        self._acting = False
        if running < len(self._waiting):
            self._collect()
        if self._lingering:
            self._let_linger()
        self._arm()

    def _let_linger(self) -> None:
        # Most have ended within the action that announced them, and need no timer.
        for curl, seconds in self._lingering:
            transfer = self._waiting.get(curl)
            if transfer is not None:
                timer = self._loop.call_later(seconds, self.finish, curl)
                transfer.done.add_done_callback(lambda _done, timer=timer: timer.cancel())  # type: ignore[misc] # bound at once
        self._lingering.clear()

    def _collect(self) -> None:
        more = 1
        while more:
            more, succeeded, failed = self._multi.info_read()
            for curl in succeeded:
                self.finish(curl)
            for curl, code, message in failed:
                self.finish(curl, Outcome(code, message))

    def _on_timer(self, milliseconds: int) -> None:
        self._due = None if milliseconds < 0 else self._loop.time() + milliseconds / 1000
        if not self._acting:
            self._arm()

    def _arm(self) -> None:
        if self._due is None:
            return
        if self._timer is not None:
            if self._timer.when() <= self._due:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(self._due, self._on_due)

    def _on_due(self) -> None:
        self._timer = None
        self._act(pycurl.SOCKET_TIMEOUT, 0)

    def _on_ready(self) -> None:
        for fd, events in self._epoll.poll(0, _BATCH):
            if not self._wanted.get(fd):
                # A parked connection that its peer has closed, or a descriptor that is gone.
                self._forget(fd)
                continue
            mask = pycurl.CSELECT_IN if events & _READABLE else 0
            if events & _WRITABLE:
                mask |= pycurl.CSELECT_OUT
            self._act(fd, mask)

    def _on_socket(self, what: int, fd: int, _multi: pycurl.CurlMulti, _data: object) -> None:
        if what == pycurl.POLL_REMOVE:
            # The socket is either about to be closed, and the kernel forgets it, or parked for the next hop.
            if fd in self._wanted:
                self._wanted[fd] = 0
            return
        known = fd in self._wanted
        self._wanted[fd] = what
        events = _EVENTS.get(what, 0)
        # A known descriptor may by now be another socket, which epoll does not know yet.
        try:
            self._epoll.modify(fd, events) if known else self._epoll.register(fd, events)
        except FileNotFoundError:
            self._epoll.register(fd, events)
        except FileExistsError:
            self._epoll.modify(fd, events)

    def _forget(self, fd: int) -> None:
        self._wanted.pop(fd, None)
        # The kernel has forgotten a descriptor that is closed.
        with contextlib.suppress(OSError):
            self._epoll.unregister(fd)
