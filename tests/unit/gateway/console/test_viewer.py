"""A viewer that falls behind gets a snapshot and holds no more than that."""

from services.gateway.console.viewer import Viewer


async def test_a_viewer_that_is_too_slow_gets_the_whole_picture_and_holds_no_more_than_that() -> None:
    viewer = Viewer(lambda: b"whole")
    assert await viewer.take(0) == b"whole"
    viewer.push(b"1")
    viewer.push(b"2")
    assert await viewer.take(0) == b"12"
    assert await viewer.take(0) == b""
    for _ in range(1_000):
        viewer.push(b"x" * 1_000)
    assert len(viewer._frames) == 0
    assert await viewer.take(0) == b"whole"
    viewer.push(b"3")
    assert await viewer.take(0) == b"3"
