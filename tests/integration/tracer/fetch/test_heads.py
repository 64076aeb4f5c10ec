"""What the tracer makes of heads that are not as they should be is what docs/tracer.md says."""

import pytest

from tests.integration.tracer.heads import HEADS, RedirectHead
from tests.integration.tracer.rig import Client
from tests.support.origin import Origin, Request, Wire, page


@pytest.mark.parametrize("head", HEADS, ids=[head.what for head in HEADS])
async def test_a_head(client: Client, head: RedirectHead) -> None:
    async def respond(request: Request, wire: Wire) -> bytes | None:
        if request.path == "/end":
            return page("landed")
        await wire.send(head.raw)
        if head.closes:
            wire.close()
        return None

    async with Origin(respond) as origin:
        walked = await client.trace(f"http://127.0.0.1:{origin.port}/start")
    if head.tracer:
        assert f"{walked.stop} {walked.reason}".strip() == head.tracer
        assert len(walked.hops) == 1
    else:
        assert (walked.stop, len(walked.hops)) == ("LANDING", 2)
    assert walked.result.final_status != 0 or walked.stop != "LANDING"
