"""When the free IPs run out: the trend of two minutes."""

import math

import pytest

from services.pool_manager.capacity.trend import TREND_SECONDS, Trend


def trend(*samples: tuple[float, int]) -> float:
    line = Trend()
    for moment, available in samples:
        line.add(moment, available)
    return line.exhausted_in()


def test_a_straight_fall_is_continued() -> None:
    assert trend((0, 100), (20, 80), (40, 60)) == pytest.approx(60)


@pytest.mark.parametrize(
    "samples", [[], [(0, 5)], [(0, 5), (40, 5)], [(0, 5), (40, 9)], [(7, 5), (7, 4)], [(0, 9), (29, 1)]], ids=str
)
def test_what_does_not_fall_never_runs_out(samples: list[tuple[float, int]]) -> None:
    assert math.isinf(trend(*samples))


def test_what_is_exhausted_is_exhausted_now() -> None:
    assert trend((0, 0)) == 0
    assert trend((0, 3), (40, 0)) == 0


def test_an_old_fall_is_forgotten() -> None:
    assert math.isinf(trend((0, 100), (10, 20), (20 + TREND_SECONDS, 20), (50 + TREND_SECONDS, 20)))


def test_one_busy_second_does_not_outweigh_the_trend() -> None:
    calm = [(float(second), 100) for second in range(0, 115, 5)]
    assert trend(*calm, (115.0, 90)) > 600
