"""A number or a word that this build does not know is a value with a name of its own."""

import pytest

from clicktrace.common.v1 import common_pb2
from libs.common.enums import OpenEnum, name_of, number_of

KIND = common_pb2.Hop.Kind.DESCRIPTOR


class Colour(OpenEnum):
    RED = "RED"


@pytest.mark.parametrize(
    ("number", "name"),
    [(0, ""), (1, "LOCATION"), (99, "UNKNOWN_99"), (-1, "UNKNOWN_-1"), (2**31 - 1, "UNKNOWN_2147483647")],
)
def test_numbers_and_names_lead_to_each_other(number: int, name: str) -> None:
    assert name_of(KIND, number) == name
    assert number_of(KIND, name) == number


@pytest.mark.parametrize("name", ["TELEPATHY", "UNKNOWN_", "UNKNOWN_2147483648", "UNKNOWN_9999999999", "unknown_9"])
def test_a_word_of_a_newer_build_has_no_number_here(name: str) -> None:
    number = number_of(KIND, name)
    assert number == 0
    common_pb2.Hop(kind=number)


def test_a_word_that_is_no_member_is_kept() -> None:
    newer = Colour("ULTRAVIOLET")
    assert (newer, newer.name, newer.is_known) == ("ULTRAVIOLET", "ULTRAVIOLET", False)
    assert newer == Colour("ULTRAVIOLET")
    assert newer not in set(Colour)
    assert (Colour("RED"), Colour.RED.is_known) == (Colour.RED, True)


def test_what_is_no_text_is_no_word() -> None:
    with pytest.raises(ValueError, match="9 is not a valid Colour"):
        Colour(9)  # type: ignore[arg-type] # That is the point.
