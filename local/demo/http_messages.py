"""Reads the heads of HTTP/1.1 messages, and moves their bodies on as they come (RFC 9112).

Only as much as a forward proxy needs: it looks at the framing and at what must not travel on, and leaves every other
byte as it is.
"""

from asyncio import IncompleteReadError, LimitOverrunError, StreamReader, StreamWriter
from collections.abc import Iterable
from dataclasses import dataclass, field

MAX_HEAD = 64 * 1024
_CHUNK = 64 * 1024
_MAX_CHUNK_LINE = 1024
# RFC 9110 7.6.1, and the proxy's own. Transfer-Encoding stays, because bodies are moved on in the form they have.
_HOP_BY_HOP = frozenset(
    {"connection", "keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization", "te", "upgrade"}
)
_TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


class BadMessageError(Exception):
    """A peer sent what is not an HTTP/1.1 message; `status` is what to answer it with."""

    def __init__(self, reason: str, status: int = 400) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True)
class Head:
    """The first line of a message, cut at its spaces, and its header fields in their order."""

    start: tuple[str, str, str]
    fields: list[tuple[str, str]] = field(default_factory=list)

    def values(self, name: str) -> list[str]:
        """Returns the comma-separated elements of all fields of that (lower-case) name."""
        return [
            element.strip()
            for key, value in self.fields
            if key.lower() == name
            for element in value.split(",")
            if element.strip()
        ]

    def first(self, name: str) -> str | None:
        """Returns the whole value of the first field of that (lower-case) name."""
        return next((value for key, value in self.fields if key.lower() == name), None)

    def end_to_end(self) -> list[tuple[str, str]]:
        """Returns the fields that travel on: without the hop-by-hop ones and those that Connection names."""
        dropped = _HOP_BY_HOP | {name.lower() for name in self.values("connection")}
        return [(name, value) for name, value in self.fields if name.lower() not in dropped]


@dataclass(frozen=True)
class Body:
    """How a body ends: after `length` bytes, with its last chunk, or with the connection (`length` None)."""

    length: int | None
    chunked: bool = False

    @property
    def ends_by_close(self) -> bool:
        """Whether only the end of the connection ends this body."""
        return self.length is None and not self.chunked


NO_BODY = Body(0)


def write_head(start: str, fields: Iterable[tuple[str, str]]) -> bytes:
    """Puts a head together, in the bytes it came in."""
    lines = [start, *(f"{name}: {value}" for name, value in fields), "", ""]
    return "\r\n".join(lines).encode("latin-1")


async def read_head(reader: StreamReader) -> Head | None:
    """Reads one head; None if the peer closed before its first byte.

    Raises BadMessageError for what is no head, and IncompleteReadError if the peer closes in the middle of one.
    """
    try:
        raw = await reader.readuntil(b"\r\n\r\n")
    except IncompleteReadError as error:
        if not error.partial.strip(b"\r\n"):
            return None
        raise
    except LimitOverrunError as error:
        raise BadMessageError("the head is too large", 431) from error
    lines = raw.decode("latin-1").lstrip("\r\n")[:-4].split("\r\n")
    start = lines[0].split(" ", 2)
    if len(start) < 2 or not all(start[:2]):
        raise BadMessageError("the first line is none")
    return Head((start[0], start[1], start[2] if len(start) > 2 else ""), [_field(line) for line in lines[1:]])


def _field(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon or not name or not _TOKEN.issuperset(name):  # also refuses folded lines, and a space before the colon
        raise BadMessageError("a header field is none")
    if "\r" in value or "\n" in value or "\0" in value:
        raise BadMessageError("a header field holds a control character")
    return name, value.strip(" \t")


def request_body(head: Head) -> Body:
    """Returns how the body of a request ends; BadMessageError if its framing is ambiguous (RFC 9112 6.3)."""
    encoding = head.values("transfer-encoding")
    lengths = set(head.values("content-length"))
    if encoding:
        if lengths or [code.lower() for code in encoding] != ["chunked"]:
            raise BadMessageError("the length of the body is not clear")
        return Body(None, chunked=True)
    return Body(_length(lengths)) if lengths else NO_BODY


def response_body(head: Head, method: str) -> Body:
    """Returns how the body of a response to `method` ends."""
    status = int(head.start[1])
    if method == "HEAD" or status in {204, 304} or 100 <= status < 200:
        return NO_BODY
    encoding = head.values("transfer-encoding")
    if encoding:
        return Body(None, chunked=encoding[-1].lower() == "chunked")
    lengths = set(head.values("content-length"))
    return Body(_length(lengths) if lengths else None)


def _length(values: set[str]) -> int:
    value = values.pop()
    if values or not (value.isascii() and value.isdigit()):
        raise BadMessageError("the Content-Length is none")
    return int(value)


async def move_body(body: Body, source: StreamReader, target: StreamWriter) -> None:
    """Moves a body from one peer to the other, never faster than the receiver takes it."""
    if body.chunked:
        await _move_chunks(source, target)
    else:
        await _move_bytes(body.length, source, target)


async def _move_bytes(length: int | None, source: StreamReader, target: StreamWriter) -> None:
    left = length
    while left is None or left > 0:
        data = await source.read(_CHUNK if left is None else min(left, _CHUNK))
        if not data:
            if left is None:
                return
            raise IncompleteReadError(b"", left)
        if left is not None:
            left -= len(data)
        target.write(data)
        await target.drain()


async def _move_chunks(source: StreamReader, target: StreamWriter) -> None:
    while True:
        line = await _line(source)
        target.write(line)
        size_text = line.split(b";", 1)[0].strip()
        try:
            size = int(size_text, 16)
        except ValueError as error:
            raise BadMessageError("the size of a chunk is none") from error
        if size < 0 or not size_text.isalnum():
            raise BadMessageError("the size of a chunk is none")
        if size == 0:
            break
        await _move_bytes(size + 2, source, target)
    while line != b"\r\n":  # the trailer section and the empty line behind it
        line = await _line(source)
        target.write(line)
    await target.drain()


async def _line(source: StreamReader) -> bytes:
    try:
        line = await source.readuntil(b"\r\n")
    except LimitOverrunError as error:
        raise BadMessageError("a line is too long") from error
    if len(line) > _MAX_CHUNK_LINE:
        raise BadMessageError("a line is too long")
    return line
