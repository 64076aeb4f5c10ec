"""Heads of redirects as origins really send them, and what Chromium and the tracer make of each."""

from typing import NamedTuple


class RedirectHead(NamedTuple):
    """The head of a response that means to lead to `/end`."""

    what: str
    """For docs/tracer.md."""
    raw: bytes
    chromium: bool
    """Whether Chromium goes on; seen, and held by the peers tier."""
    tracer: str = ""
    """How the tracer ends, as stop reason and failure reason; empty if it goes on."""
    closes: bool = False
    """Whether the origin closes the connection behind it."""


STATUS = b"HTTP/1.1 302 Found\r\n"
LOCATION = b"Location: /end\r\n"
END = b"Content-Length: 0\r\n\r\n"
MALFORMED = "PROTOCOL_ERROR MALFORMED_RESPONSE"
UNDECODABLE = "PROTOCOL_ERROR BAD_CONTENT_ENCODING"
TOO_LARGE = "HEADERS_TOO_LARGE HEADERS_TOO_LARGE"


def line(status_line: bytes) -> bytes:
    """A head that is usual but for its status line."""
    return status_line + b"\r\n" + LOCATION + END


def field(raw: bytes, end: bytes = END) -> bytes:
    """A head that is usual but for one field."""
    return STATUS + raw + b"\r\n" + LOCATION + end


OPEN = b"\r\n"
HEADS = (
    RedirectHead("a line without a colon", field(b"nonsense"), True, MALFORMED),
    RedirectHead("a line that is folded", field(b"X: a\r\n  b"), True),
    RedirectHead("a first line that begins with a space", field(b" folded: x"), True),
    RedirectHead("a space before the colon", STATUS + b"Location : /end\r\n" + END, True),
    RedirectHead("a line that begins with the colon", field(b": x"), True),
    RedirectHead("a name that is not ASCII", field(b"X-\xc3\xa9: x"), True),
    RedirectHead("a NUL in a value", field(b"X: a\x00b"), False, MALFORMED),
    RedirectHead("a carriage return in a value", field(b"X: a\rb"), True, MALFORMED),
    RedirectHead("a line of 99 KiB", field(b"X: " + b"v" * 101_000), True),
    RedirectHead("a line of more than 100 KiB", field(b"X: " + b"v" * 103_500), True, TOO_LARGE),
    RedirectHead("250 KiB in all", field((b"X: " + b"v" * 1000 + b"\r\n") * 248 + b"Y: y"), True),
    RedirectHead("260 KiB in all", field((b"X: " + b"v" * 1000 + b"\r\n") * 262 + b"Y: y"), False, TOO_LARGE),
    RedirectHead("more than 5,000 lines", field(b"X: v\r\n" * 6000 + b"Y: y"), True, TOO_LARGE),
    RedirectHead(
        "two different Content-Lengths", field(b"Content-Length: 5\r\nContent-Length: 0", OPEN), False, MALFORMED
    ),
    RedirectHead("twice the same Content-Length", field(b"Content-Length: 0\r\nContent-Length: 0", OPEN), True),
    RedirectHead("`Content-Length: 0, 0`", field(b"Content-Length: 0, 0", OPEN), True),
    RedirectHead("`Content-Length: abc`", field(b"Content-Length: abc", OPEN), True, MALFORMED, closes=True),
    RedirectHead("`Content-Length: -1`", field(b"Content-Length: -1", OPEN), True, MALFORMED, closes=True),
    RedirectHead("`Content-Length: +0`", field(b"Content-Length: +0", OPEN), True, MALFORMED, closes=True),
    RedirectHead("an empty Content-Length", field(b"Content-Length:", OPEN), True, MALFORMED, closes=True),
    RedirectHead(
        "an unknown Transfer-Encoding", field(b"Transfer-Encoding: foo", OPEN), True, UNDECODABLE, closes=True
    ),
    RedirectHead("`Transfer-Encoding: identity`", field(b"Transfer-Encoding: identity", OPEN), True, closes=True),
    RedirectHead(
        "`Transfer-Encoding: chunked, gzip`",
        field(b"Transfer-Encoding: chunked, gzip", b"\r\n0\r\n\r\n"),
        True,
        UNDECODABLE,
    ),
    RedirectHead("chunks that are none", field(b"Transfer-Encoding: chunked", b"\r\nzz\r\n"), True),
    RedirectHead(
        "more than five Content-Encodings", field(b"Content-Encoding: " + b"gzip," * 5 + b"gzip"), True, UNDECODABLE
    ),
    RedirectHead(
        "an unknown Content-Encoding", field(b"Content-Encoding: foo", b"Content-Length: 5\r\n\r\nhello"), True
    ),
    RedirectHead("a status of four digits", line(b"HTTP/1.1 3020 Found"), False, MALFORMED),
    RedirectHead("a status of two digits", line(b"HTTP/1.1 30 Found"), False, MALFORMED),
    RedirectHead("no reason phrase", line(b"HTTP/1.1 302"), True),
    RedirectHead("no space before the status", line(b"HTTP/1.1302 Found"), False, MALFORMED),
    RedirectHead("two spaces before the status", line(b"HTTP/1.1  302 Found"), True, MALFORMED),
    RedirectHead("a tab before the status", line(b"HTTP/1.1\t302 Found"), False),
    RedirectHead("HTTP/2.0", line(b"HTTP/2.0 302 Found"), True),
    RedirectHead("HTTP/2 without a minor version", line(b"HTTP/2 302 Found"), True, MALFORMED),
    RedirectHead("HTTP/1 without a minor version", line(b"HTTP/1 302 Found"), True, MALFORMED),
    RedirectHead("HTTP/1.2", line(b"HTTP/1.2 302 Found"), True, MALFORMED),
    RedirectHead("HTTP/1.10", line(b"HTTP/1.10 302 Found"), True, MALFORMED),
    RedirectHead("HTTP/0.9 in a status line", line(b"HTTP/0.9 302 Found"), True, MALFORMED),
    RedirectHead("HTTP without a version", line(b"HTTP 302 Found"), True, MALFORMED),
    RedirectHead("http in lower case", line(b"http/1.1 302 Found"), True),
    RedirectHead("ICY instead of HTTP", line(b"ICY 302 Found"), False, MALFORMED),
    RedirectHead("up to four bytes before the status line", line(b"junkHTTP/1.1 302 Found"), True, MALFORMED),
    RedirectHead("an empty line before the status line", line(b"\r\nHTTP/1.1 302 Found"), True, MALFORMED),
    RedirectHead("lines that end in LF alone", (STATUS + LOCATION + END).replace(b"\r\n", b"\n"), True),
    RedirectHead("twice the same Location", STATUS + LOCATION + LOCATION + END, True),
    RedirectHead(
        "two different Locations",
        STATUS + LOCATION + b"Location: /other\r\n" + END,
        False,
        "CONFLICTING_LOCATION CONFLICTING_LOCATION",
    ),
    RedirectHead("a body that ends early", field(b"Content-Length: 50", b"\r\nhello"), True, closes=True),
    RedirectHead(
        "closed behind a whole line, before the empty one",
        STATUS + LOCATION,
        True,
        "CONNECTION_ERROR CONNECTION_CLOSED",
        closes=True,
    ),
    RedirectHead(
        "closed within a line", STATUS + LOCATION + b"X-Half: ", True, "CONNECTION_ERROR CONNECTION_CLOSED", closes=True
    ),
    RedirectHead("30 interim responses before it", b"HTTP/1.1 103 x\r\n\r\n" * 30 + STATUS + LOCATION + END, True),
    RedirectHead(
        "a 101 that nobody asked for, before it", b"HTTP/1.1 101 x\r\n\r\n" + STATUS + LOCATION + END, True, "LANDING"
    ),
)
