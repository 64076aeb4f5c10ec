"""Requests are checked whole: every violation is named, and only what the proto says is one."""

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from libs.common.errors import ClicktraceError, Code
from services.gateway.rpc.checks import Check, is_click_id, page_size


def violations(check: Check) -> list[str]:
    with pytest.raises(ClicktraceError) as caught:
        check.finish()
    assert (caught.value.code, caught.value.reason) == (Code.INVALID_ARGUMENT, "INVALID_REQUEST")
    return [violation.field for violation in caught.value.violations]


@pytest.mark.parametrize(("asked", "size"), [(0, 100), (1, 1), (1_000, 1_000)])
def test_a_page_has_the_size_that_was_asked_for(asked: int, size: int) -> None:
    assert page_size(asked) == size


@pytest.mark.parametrize(("text", "holds"), [("0" * 32, True), ("F" * 32, False), ("0" * 31, False), ("0" * 33, False)])
def test_a_click_id_has_one_form(text: str, holds: bool) -> None:
    assert is_click_id(text) is holds


def test_the_ends_of_a_range_belong_to_it_and_what_is_left_out_is_fine() -> None:
    check = Check()
    for seconds in (None, 0.1, 60.0):
        check.duration("fine", seconds, 0.1, 60.0)
    for seconds in (0.099, 60.001, float("nan")):
        check.duration("bad", seconds, 0.1, 60.0)
    assert violations(check) == ["bad"] * 3


def test_times_outside_the_calendar_are_violations() -> None:
    check = Check()
    assert check.time("since", None) is None
    assert check.time("since", Timestamp(seconds=10**15)) is None
    assert violations(check) == ["since"]


def test_a_plain_url_takes_no_template_fields() -> None:
    check = Check()
    check.plain_url("fine", "https://hooks.example/")
    check.plain_url("bad", "https://hooks.example/{gclid}")
    check.url("long", "https://hooks.example/" + "x" * 8_192, ())
    assert violations(check) == ["bad", "long"]


def test_names_are_counted_and_each_is_checked() -> None:
    check = Check()
    check.names("fine", ["a", "b c"])
    check.names("bad", ["a", "a", "", "x" * 201, "\n"])
    check.names("many", [str(number) for number in range(201)])
    assert violations(check) == ["bad", "bad[2]", "bad[3]", "bad[4]", "many"]


def test_filters_and_page_tokens_may_be_empty_and_nothing_strange() -> None:
    check = Check()
    check.offer_filter("offer", "")
    check.offer_page_token("demo")
    check.click_page_token("")
    check.click_page_token("0" * 32)
    check.enum("status", {"UNSPECIFIED": 0, "PENDING": 1}, 0)
    check.finish()
    check.offer_filter("offer", "\0")
    check.offer_page_token("x" * 65)
    check.click_page_token("demo")
    check.enum("status", {"UNSPECIFIED": 0, "PENDING": 1}, 2)
    assert violations(check) == ["offer", "page_token", "page_token", "status"]
