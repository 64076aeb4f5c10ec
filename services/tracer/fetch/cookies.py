"""Corrects what libcurl makes of the lifetime of unusual cookies.

libcurl takes `Max-Age=+3600` for a deletion, knows `01-Jan-70` as 2070, does not read full month names, and takes the
first of two Expires. RFC 6265 says otherwise (5.1.1 dates, 5.2.1 Expires, 5.2.2 Max-Age, 5.3 storage), and browsers do
as it says. Cookies whose attributes look as they usually do are not looked at.
"""

import calendar
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pycurl

from services.tracer.follow.urls import Url

_USUAL = re.compile(
    rb"[^;]*(?:;[ \t]*(?:(?:path|domain|samesite|priority|secure|httponly|partitioned)[^;]*"
    rb"|max-age=-?[0-9]{1,10}[ \t]*"
    # A day that every month has, and a time that every day has.
    rb"|expires=[a-z]{3,9}, (?:[01][0-9]|2[0-8])[ -][a-z]{3}[ -](?:19|2[0-9])[0-9]{2}"
    rb" (?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9] gmt[ \t]*|))*",
    re.IGNORECASE,
)
_MAX_AGE = re.compile(rb"-?[0-9]+")
_DELIMITERS = re.compile(rb"[\x09\x20-\x2f\x3b-\x40\x5b-\x60\x7b-\x7e]+")
_TIME = re.compile(rb"([0-9]{1,2}):([0-9]{1,2}):([0-9]{1,2})(?:[^0-9].*)?", re.DOTALL)
_DAY = re.compile(rb"([0-9]{1,2})(?:[^0-9].*)?", re.DOTALL)
_YEAR = re.compile(rb"([0-9]{2,4})(?:[^0-9].*)?", re.DOTALL)
_MONTHS = (b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec")
_CONTROLS = re.compile(rb"[\x00-\x1f\x7f]")
_LONGEST = 4096
"""Bytes of name and value together; libcurl and browsers drop longer cookies."""
_EXPIRED = 1
_SESSION = 0


class Cookie(NamedTuple):
    """A Set-Cookie header, taken apart by RFC 6265 5.2."""

    name: bytes
    value: bytes
    attributes: dict[bytes, bytes]
    """By lower-case name; of several with one name the last."""


def correct(curl: pycurl.Curl, url: Url, set_cookies: Sequence[bytes], now: float) -> None:
    """Makes libcurl keep or drop the cookies of a response from `url` as RFC 6265 says; `now` is in Unix seconds."""
    for place, header in enumerate(set_cookies):
        lower = header.lower()
        if b"max-age" not in lower and b"expires" not in lower:
            continue
        if _USUAL.fullmatch(header) and lower.count(b"expires=") < 2:
            continue
        cookie = parse(header)
        # Of cookies with one name in one response the last one stays.
        if cookie is None or any(_name(later) == cookie.name for later in set_cookies[place + 1 :]):
            continue
        expires = expiry(cookie.attributes, now)
        stored = [line for line in _stored(curl) if line[5] == cookie.name and line[6] == cookie.value]
        if expires != _SESSION and expires <= now:
            for line in stored:
                _put(curl, [*line[:4], str(_EXPIRED).encode(), *line[5:]])
        elif not stored:
            made = _line(cookie, url, expires)
            if made is not None:
                _put(curl, made)


def parse(header: bytes) -> Cookie | None:
    """Takes a Set-Cookie header apart; None if it sets nothing."""
    pair, *pieces = header.split(b";")
    name, equals, value = pair.partition(b"=")
    if not equals or not name.strip():
        return None
    attributes = {}
    for piece in pieces:
        key, _, text = piece.partition(b"=")
        attributes[key.strip().lower()] = text.strip()
        if key.strip().lower() == b"expires" and parse_date(text.strip()) is None:
            # An attribute that cannot be read is ignored; it does not hide one before it.
            del attributes[b"expires"]
    return Cookie(name.strip(), value.strip(), attributes)


def expiry(attributes: dict[bytes, bytes], now: float) -> int:
    """Returns when a cookie ends, in Unix seconds: 0 with the session, at most `now` if it is to be deleted."""
    max_age = attributes.get(b"max-age", b"")
    if _MAX_AGE.fullmatch(max_age):
        # More digits than any lifetime needs would only cost time to convert.
        seconds = int(max_age[:12])
        return int(now) + seconds if seconds > 0 else _EXPIRED
    ends = parse_date(attributes[b"expires"]) if b"expires" in attributes else None
    if ends is None:
        return _SESSION
    return ends if ends > now else _EXPIRED


def parse_date(text: bytes) -> int | None:
    """Reads a cookie date by RFC 6265 5.1.1, in Unix seconds; None if it is none."""
    clock: tuple[int, ...] | None = None
    day = month = year = None
    for token in _DELIMITERS.split(text):
        if clock is None and (found := _TIME.fullmatch(token)):
            clock = tuple(map(int, found.groups()))
        elif day is None and (found := _DAY.fullmatch(token)):
            day = int(found[1])
        elif month is None and token[:3].lower() in _MONTHS:
            month = _MONTHS.index(token[:3].lower()) + 1
        elif year is None and (found := _YEAR.fullmatch(token)):
            year = int(found[1])
    if clock is None or day is None or month is None or year is None:
        return None
    if year <= 69:
        year += 2000
    elif year <= 99:
        year += 1900
    hour, minute, second = clock
    if year < 1601 or hour > 23 or minute > 59 or second > 59 or not 1 <= day <= calendar.monthrange(year, month)[1]:
        return None
    return calendar.timegm((year, month, day, hour, minute, second))


def _name(header: bytes) -> bytes:
    return header.partition(b";")[0].partition(b"=")[0].strip()


def _stored(curl: pycurl.Curl) -> Iterator[list[bytes]]:
    """Yields what libcurl holds: domain, whether for subdomains too, path, secure, expiry, name, value."""
    for line in curl.getinfo_raw(pycurl.INFO_COOKIELIST):
        fields = line.split(b"\t")
        if len(fields) == 7:
            yield fields


def _put(curl: pycurl.Curl, fields: Sequence[bytes]) -> None:
    curl.setopt(pycurl.COOKIELIST, b"\t".join(fields))


def _line(cookie: Cookie, url: Url, expires: int) -> list[bytes] | None:
    """Returns a cookie as libcurl holds it; None if it may not be set from `url`.

    A cookie for a parent domain is kept for the host alone: whether that domain is a public suffix, only libcurl knows.
    """
    host = url.host.encode()
    domain = cookie.attributes.get(b"domain", b"").lower().removeprefix(b".")
    secure = b"secure" in cookie.attributes
    if (
        (domain and host != domain and not host.endswith(b"." + domain))
        or (secure and url.scheme != "https")
        or cookie.name.lower().startswith((b"__secure-", b"__host-"))
        or len(cookie.name) + len(cookie.value) > _LONGEST
        or _CONTROLS.search(cookie.name + cookie.value)
    ):
        return None
    path = cookie.attributes.get(b"path", b"")
    if not path.startswith(b"/") or _CONTROLS.search(path):
        # RFC 6265 5.1.4: the directory of the request.
        path = url.request_target.partition("?")[0].rpartition("/")[0].encode() or b"/"
    flags = (b"TRUE" if host == domain else b"FALSE", b"TRUE" if secure else b"FALSE")
    return [host, flags[0], path, flags[1], str(expires).encode(), cookie.name, cookie.value]
