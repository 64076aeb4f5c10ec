"""A response is taken apart within its bounds, whatever lines come."""

from hypothesis import given
from hypothesis import strategies as st

from services.tracer.fetch.response import DRAIN_BYTES, MAX_HEADER_BYTES, Collector
from services.tracer.model.exchange import BodyUse, Headers

ABORT = -1


class Drained:
    """Counts how often it was told that a body is only drained."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> None:
        self.times += 1


def collector(use: BodyUse = BodyUse.READ, *, limit: int = 100, drained: Drained | None = None) -> Collector:
    def plan(_status: int, _headers: Headers) -> BodyUse:
        return use

    made = Collector(drained or Drained())
    made.begin(plan, limit)
    made.before_request()
    return made


def feed(taker: Collector, *lines: bytes) -> int | None:
    answer = None
    for line in lines:
        answer = taker.header(line)
        if answer is not None:
            return answer
    return answer


def test_names_are_lower_case_and_values_bare() -> None:
    taker = collector()
    feed(taker, b"HTTP/1.1 200 OK\r\n", b"Content-Type:  text/html \r\n", b"X:\r\n", b"no colon\r\n", b"\r\n")
    assert taker.complete
    assert taker.status == 200
    assert taker.headers == {b"content-type": [b"text/html"], b"x": [b""], b"no colon": [b""]}


def test_nothing_is_left_of_the_response_before() -> None:
    taker = collector()
    feed(taker, b"HTTP/1.1 302 F\r\n", b"Location: /x\r\n", b"\r\n")
    taker.body_part(b"body")
    taker.begin(lambda _status, _headers: BodyUse.READ, 100)
    assert (taker.status, taker.headers, taker.body, taker.complete, taker.request_left) == (0, {}, b"", False, False)


def test_informational_answers_are_not_the_answer() -> None:
    taker = collector()
    feed(taker, b"HTTP/1.1 103 Early\r\n", b"Location: /wrong\r\n", b"\r\n")
    assert not taker.complete
    feed(taker, b"HTTP/2 302\r\n", b"Location: /right\r\n", b"\r\n")
    assert (taker.status, taker.headers) == (302, {b"location": [b"/right"]})


def test_a_header_that_looks_like_a_status_line_begins_nothing_anew() -> None:
    taker = collector()
    feed(taker, b"HTTP/1.1 302 F\r\n", b"Location: /a\r\n", b"HTTP/1.1 200: x\r\n", b"\r\n")
    assert taker.status == 302
    assert taker.headers[b"location"] == [b"/a"]


def test_a_status_that_is_none_ends_it() -> None:
    for line in (b"HTTP/1.1 2000 OK\r\n", b"HTTP/1.1 20 OK\r\n", b"HTTP/1.1 abc\r\n", b"HTTP/1.1\r\n", b"\r\n"):
        taker = collector()
        assert taker.header(line) == ABORT
        assert taker.malformed


def test_switching_protocols_is_final() -> None:
    taker = collector(BodyUse.SKIP)
    assert feed(taker, b"HTTP/1.1 101 S\r\n", b"Upgrade: x\r\n", b"\r\n") == ABORT
    assert taker.complete


def test_trailers_are_not_headers() -> None:
    taker = collector()
    feed(taker, b"HTTP/1.1 200 OK\r\n", b"\r\n", b"Location: /trailer\r\n", b"\r\n")
    assert taker.headers == {}


def test_a_body_that_is_not_wanted_ends_the_transfer_at_its_headers() -> None:
    assert feed(collector(BodyUse.SKIP), b"HTTP/1.1 200 OK\r\n", b"\r\n") == ABORT


def test_a_body_is_cut_at_its_limit_to_the_byte() -> None:
    taker = collector(limit=10)
    feed(taker, b"HTTP/1.1 200 OK\r\n", b"\r\n")
    assert taker.body_part(b"123456") is None
    assert taker.body_part(b"7890abcdef") == ABORT
    assert (taker.body, taker.body_cut) == (b"1234567890", True)


def test_a_body_that_is_drained_is_dropped_and_bounded() -> None:
    drained = Drained()
    taker = collector(BodyUse.DRAIN, drained=drained)
    feed(taker, b"HTTP/1.1 302 F\r\n", b"\r\n")
    assert drained.times == 1
    assert taker.body_part(bytes(DRAIN_BYTES)) is None
    assert taker.body_part(b"x") == ABORT
    assert taker.body == b""


def test_headers_are_bounded_over_all_blocks() -> None:
    taker = collector()
    line = b"X: " + b"v" * 1000 + b"\r\n"
    for _ in range(MAX_HEADER_BYTES // len(line)):
        assert feed(taker, b"HTTP/1.1 103 E\r\n") in {None, ABORT}
        if feed(taker, line, b"\r\n") == ABORT:
            break
    assert taker.headers_too_large
    assert not taker.complete


@given(st.lists(st.one_of(st.binary(max_size=30), st.sampled_from([b"\r\n", b"HTTP/1.1 200 OK\r\n", b"HTTP/x\r\n"]))))
def test_no_lines_make_it_raise(lines: list[bytes]) -> None:
    taker = collector()
    for line in lines:
        taker.header(line)
        taker.body_part(line)
    assert all(name == name.lower() for name in taker.headers)
    assert 0 <= taker.status <= 999
