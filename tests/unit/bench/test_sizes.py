"""A smoke run does the same as a whole one, and less of it."""

from dataclasses import astuple

from bench.sizes import FULL, SMOKE


def flat(values: tuple[object, ...]) -> list[float]:
    return [
        number
        for value in values
        for number in (flat(value) if isinstance(value, tuple) else [value] if isinstance(value, int | float) else [])
    ]


def test_every_size_of_a_smoke_run_is_at_most_that_of_a_whole_one() -> None:
    for small, whole in zip(astuple(SMOKE), astuple(FULL), strict=True):
        pairs = list(zip(small, whole, strict=True))
        assert any(less != more for less, more in pairs)
        assert all(max(flat((less,))) <= max(flat((more,))) for less, more in pairs if more is not None), (small, whole)


def test_a_smoke_run_still_measures_something() -> None:
    # What may be nothing is a pause and a rate or number that is the mode's own.
    assert [name for name, size in vars(SMOKE).items() if 0 in flat(astuple(size))] == ["click"]
    assert SMOKE.click.pause_seconds == 0
