"""Hops are told at once, or wait a little for what comes after them; never longer, and never out of order."""

import asyncio
from collections.abc import Sequence

import pytest

from services.tracer.model.report import Hop, Result, StopReason, Timing
from services.tracer.rpc import codec
from services.tracer.rpc.reporting import GROUP_BYTES, Report

RESULT = Result("http://end.test/", StopReason.LANDING, 2, None, True, (), total_time=0.2, bytes=400)


def hop(index: int, url: str = "http://a.test/") -> Hop:
    return Hop(index, url, 200, "", None, Timing(0.1), "127.0.0.1:80", "1.1", "", 200, (), "", "")


class Sent:
    """What was sent: of each message its hops, and whether it had the result."""

    def __init__(self) -> None:
        self.messages: list[tuple[list[int], bool]] = []
        self.came = asyncio.Event()
        self.may_go = asyncio.Event()
        self.may_go.set()

    async def send(self, event: Hop | Result, earlier: Sequence[Hop]) -> None:
        await self.may_go.wait()
        hops = [*earlier, *([event] if isinstance(event, Hop) else [])]
        self.messages.append(([one.number for one in hops], isinstance(event, Result)))
        self.came.set()


async def test_without_a_delay_each_hop_is_a_message() -> None:
    sent = Sent()
    async with Report(sent.send, hop_delay=0) as report:
        await report.hop(hop(0))
        assert sent.messages == [([0], False)]
        await report.hop(hop(1))
        await report.result(RESULT)
    assert sent.messages == [([0], False), ([1], False), ([], True)]


async def test_hops_travel_with_the_result_that_comes_soon() -> None:
    sent = Sent()
    async with Report(sent.send, hop_delay=60) as report:
        await report.hop(hop(0))
        await report.hop(hop(1))
        await report.result(RESULT)
    assert sent.messages == [([0, 1], True)]


async def test_a_hop_waits_no_longer_than_the_delay() -> None:
    sent = Sent()
    async with Report(sent.send, hop_delay=0.01) as report:
        await report.hop(hop(0))
        await report.hop(hop(1))
        async with asyncio.timeout(10):
            await sent.came.wait()
        assert sent.messages == [([0, 1], False)]
        await report.result(RESULT)
    assert sent.messages[1:] == [([], True)]


async def test_what_comes_while_hops_are_on_their_way_comes_after_them() -> None:
    sent = Sent()
    sent.may_go.clear()
    async with Report(sent.send, hop_delay=0.001) as report:
        await report.hop(hop(0))
        await asyncio.sleep(0.05)
        await report.hop(hop(1))
        ending = asyncio.create_task(report.result(RESULT))
        sent.may_go.set()
        await ending
    assert [index for indexes, _ in sent.messages for index in indexes] == [0, 1]
    assert sent.messages[-1][1]


async def test_what_goes_wrong_with_hops_that_go_by_themselves_is_raised() -> None:
    async def broken(_event: Hop | Result, _earlier: Sequence[Hop]) -> None:
        raise ConnectionError

    async with Report(broken, hop_delay=0.001) as report:
        await report.hop(hop(0))
        await asyncio.sleep(0.05)
        with pytest.raises(ConnectionError):
            await report.hop(hop(1))


async def test_a_report_that_is_cut_off_sends_no_more() -> None:
    sent = Sent()
    async with Report(sent.send, hop_delay=0.01) as report:
        await report.hop(hop(0))
    await asyncio.sleep(0.05)
    assert sent.messages == []


@pytest.mark.parametrize("delayed", [False, True])
async def test_hops_that_are_too_large_for_one_message_come_in_several_in_order(delayed: bool) -> None:
    class Measured(Sent):
        async def send(self, event: Hop | Result, earlier: Sequence[Hop]) -> None:
            sizes.append(codec.from_event(event, earlier).ByteSize())
            await super().send(event, earlier)

    sizes: list[int] = []
    sent = Measured()
    if delayed:
        # All are held back while the first one is on its way.
        sent.may_go.clear()
    url = "http://a.test/?" + "x" * 65_000
    async with Report(sent.send, hop_delay=0.001 if delayed else 60) as report:
        for index in range(100):
            await report.hop(hop(index, url))
            if index == 0 and delayed:
                await asyncio.sleep(0.05)
        sent.may_go.set()
        await report.result(RESULT)
    assert [index for indexes, _ in sent.messages for index in indexes] == list(range(100))
    assert [ended for _, ended in sent.messages] == [False] * (len(sent.messages) - 1) + [True]
    assert max(sizes) < GROUP_BYTES + 70_000
    assert len(sizes) < 12
