"""Proves that the checker of histories sees every kind of fault it is there for, and none where there is none."""

import pytest

from tests.integration.pool_manager.history import Event, Granted, KeepLost, Kept, Released, ReleaseLost, check

COOLDOWN = 10.0
GRANT = Granted("ip", 1, "a", 100.0, 130.0)


def test_a_good_history_has_no_fault() -> None:
    events: list[Event] = [
        GRANT,
        Granted("ip", 1, "a", 101.0, 130.0),
        Kept("ip", 1, 120.0, 150.0),
        Released("ip", 1, 140.0, 140.0, 150.0),
        Released("ip", 1, 141.0, 141.0, 150.0),
        Granted("ip", 2, "b", 150.0, 180.0),
        Granted("ip", 3, "b", 190.0, 220.0),
        ReleaseLost("ip", 3, 190.0),
        Granted("ip", 4, "c", 200.0, 210.0),
        ReleaseLost("ip", 4, 205.0),
        Released("ip", 4, 206.0, 206.0, 215.0),
        Granted("ip", 6, "e", 215.0, 220.0),
        Granted("other", 5, "d", 100.0, 110.0),
        KeepLost("other", 5),
        Kept("other", 5, 115.0, 145.0),
        # The server lost its connection after the commit, and repeated the statement within the same call.
        Released("other", 5, 120.0, 123.0, 130.5),
        Granted("other", 7, "f", 130.5, 160.0),
    ]
    assert check(events, COOLDOWN) == []


@pytest.mark.parametrize(
    ("planted", "fault"),
    [
        ([Granted("ip", 2, "b", 120.0, 150.0)], "shared it"),
        ([Released("ip", 1, 120.0, 120.0, 130.0), Granted("ip", 2, "b", 129.999, 150.0)], "rested 9.999"),
        ([Granted("ip", 2, "b", 139.999, 150.0)], "rested 9.999"),
        ([Kept("ip", 1, 120.0, 150.0), Granted("ip", 2, "b", 145.0, 180.0)], "shared it"),
        ([Released("ip", 1, 120.0, 120.0, 130.0), Granted("ip", 1, "b", 135.0, 150.0)], "given to two requests"),
        ([Granted("ip", 0, "b", 150.0, 160.0)], "fence 0 follows 1"),
        ([Kept("ip", 1, 130.001, 150.0)], "revived 0.001"),
        ([Kept("ip", 1, 110.0, 111.0), Kept("ip", 1, 111.001, 150.0)], "revived 0.001"),
        ([Released("ip", 1, 120.0, 120.0, 130.0), Kept("ip", 1, 121.0, 150.0)], "kept after its release"),
        (
            [ReleaseLost("ip", 1, 104.0), Granted("ip", 2, "b", 115.0, 150.0), Kept("ip", 1, 116.0, 140.0)],
            "kept while 2 lived",
        ),
        ([Released("ip", 1, 120.0, 120.0, 130.0), Released("ip", 1, 125.0, 125.0, 135.0)], "moved the cooldown"),
        ([Granted("other", 2, "a", 120.0, 150.0)], "held ip and other at once"),
        ([Released("ip", 1, 120.0, 120.0, 129.0)], "got a cooldown of 9.0"),
        ([Released("ip", 1, 120.0, 123.0, 129.0)], "got a cooldown of 9.0"),
        ([ReleaseLost("ip", 1, 120.0), Released("ip", 1, 121.0, 121.0, 129.0)], "got a cooldown of 9.0"),
        ([ReleaseLost("ip", 1, 120.0), Granted("ip", 2, "b", 129.0, 150.0)], "rested 9.0"),
        ([Kept("ip", 9, 120.0, 150.0)], "used without a grant"),
        ([ReleaseLost("ip", 1, 100.0), Granted("ip", 2, "b", 109.0, 150.0)], "rested 9.0"),
    ],
)
def test_a_planted_fault_is_seen(planted: list[Event], fault: str) -> None:
    assert any(fault in found for found in check([GRANT, *planted], COOLDOWN)), check([GRANT, *planted], COOLDOWN)
