"""libcurl on asyncio: one multi handle for the process, driven by socket and timer callbacks, with no thread."""

import asyncio
from typing import NamedTuple, Self

import pycurl


class Outcome(NamedTuple):
    """How libcurl says a transfer ended: its CURLcode, 0 for success, and its own words."""

    code: int
    message: str


FINISHED = Outcome(0, "")


class Driver:
    """Runs transfers of easy handles; belongs to the event loop that it was made in.

    It is an async context manager; leaving it drops every transfer.
    """

    def __init__(self) -> None:
        """Prepares the multi handle; a loop must be running."""
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[pycurl.Curl, asyncio.Future[Outcome]] = {}
        self._timer: asyncio.TimerHandle | asyncio.Handle | None = None
        self._timer_at = 0.0
        self._watched: dict[int, int] = {}
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._on_socket)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._on_timer)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        for curl in list(self._waiting):
            self.finish(curl, Outcome(pycurl.E_ABORTED_BY_CALLBACK, "the driver is closing"))
        if self._timer is not None:
            self._timer.cancel()
        for fd in list(self._watched):
            self._unwatch(fd)
        self._multi.close()

    async def perform(self, curl: pycurl.Curl) -> Outcome:
        """Runs the transfer of a handle to its end; a cancellation drops it and closes its connection."""
        done: asyncio.Future[Outcome] = self._loop.create_future()
        self._waiting[curl] = done
        self._multi.add_handle(curl)
        # libcurl asks for a timer of 0 ms to begin; beginning here saves a turn of the loop.
        self._act(pycurl.SOCKET_TIMEOUT, 0)
        try:
            return await done
        finally:
            if self._waiting.pop(curl, None) is not None:
                self._multi.remove_handle(curl)

    def finish(self, curl: pycurl.Curl, outcome: Outcome = FINISHED) -> None:
        """Ends a transfer from outside, with that outcome; harmless if it has ended. Not from a libcurl callback."""
        done = self._waiting.pop(curl, None)
        if done is not None:
            self._multi.remove_handle(curl)
            if not done.done():
                done.set_result(outcome)

    def _act(self, fd: int, mask: int) -> None:
        _, running = self._multi.socket_action(fd, mask)
        if running < len(self._waiting):
            self._collect()

    def _collect(self) -> None:
        more = 1
        while more:
            more, succeeded, failed = self._multi.info_read()
            for curl in succeeded:
                self.finish(curl)
            for curl, code, message in failed:
                self.finish(curl, Outcome(code, message))

    def _on_timer(self, milliseconds: int) -> None:
        if milliseconds < 0:
            # A timer that fires for nothing costs less than cancelling and arming it at every step.
            return
        due = self._loop.time() + milliseconds / 1000
        if self._timer is not None:
            if self._timer_at <= due:
                return
            self._timer.cancel()
        self._timer_at = due
        self._timer = self._loop.call_at(due, self._on_due)

    def _on_due(self) -> None:
        self._timer = None
        self._act(pycurl.SOCKET_TIMEOUT, 0)

    def _on_socket(self, what: int, fd: int, _multi: pycurl.CurlMulti, _data: object) -> None:
        if what == pycurl.POLL_REMOVE:
            self._unwatch(fd)
            return
        before = self._watched.get(fd, 0)
        self._watched[fd] = what
        if what & pycurl.POLL_IN and not before & pycurl.POLL_IN:
            self._loop.add_reader(fd, self._act, fd, pycurl.CSELECT_IN)
        elif before & pycurl.POLL_IN and not what & pycurl.POLL_IN:
            self._loop.remove_reader(fd)
        if what & pycurl.POLL_OUT and not before & pycurl.POLL_OUT:
            self._loop.add_writer(fd, self._act, fd, pycurl.CSELECT_OUT)
        elif before & pycurl.POLL_OUT and not what & pycurl.POLL_OUT:
            self._loop.remove_writer(fd)

    def _unwatch(self, fd: int) -> None:
        before = self._watched.pop(fd, 0)
        if before & pycurl.POLL_IN:
            self._loop.remove_reader(fd)
        if before & pycurl.POLL_OUT:
            self._loop.remove_writer(fd)
