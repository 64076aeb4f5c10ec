"""Parses URLs by the WHATWG URL standard, and their parameters byte for byte."""

from typing import NamedTuple
from urllib.parse import unquote_to_bytes

import ada_url

from services.tracer.model.report import Parameter

WEB_SCHEMES = frozenset({"http", "https"})
_DEFAULT_PORTS = {"http": 80, "https": 443}


class Url(NamedTuple):
    """A parsed URL; `href` is its serialization and pure ASCII."""

    href: str
    scheme: str
    """Lower case, without the colon."""
    host: str
    """Lower-case ASCII, an IPv6 literal in brackets; empty unless the scheme is http or https."""
    port: int
    """The effective port; 0 unless the scheme is http or https."""
    fragment: str | None
    """The text after `#`; None without a `#`, which differs from an empty fragment when it is inherited."""

    @property
    def origin(self) -> tuple[str, str, int]:
        """The scheme, host and port."""
        return self.scheme, self.host, self.port

    @property
    def authority(self) -> str:
        """The host and port as in a Host header: without the port where it is the default."""
        return self.host if self.port == _DEFAULT_PORTS.get(self.scheme) else f"{self.host}:{self.port}"

    @property
    def request_target(self) -> str:
        """The path and query as in a request line."""
        bare = self.href.partition("#")[0]
        return bare[bare.find("/", len(self.scheme) + 3) :]

    @property
    def credentials(self) -> tuple[bytes, bytes] | None:
        """The user name and password of the URL, percent-decoded; None if it has neither."""
        if "@" not in self.href:
            return None
        userinfo, separator, _ = self._userinfo_and_host()
        if not separator:
            return None
        name, _, password = userinfo.partition(":")
        return unquote_to_bytes(name), unquote_to_bytes(password)

    @property
    def public(self) -> str:
        """The URL without its user name and password."""
        if "@" not in self.href:
            return self.href
        userinfo, separator, _ = self._userinfo_and_host()
        if not separator:
            return self.href
        start = len(self.scheme) + 3
        return self.href[:start] + self.href[start + len(userinfo) + 1 :]

    @property
    def without_fragment(self) -> str:
        """The URL without credentials and fragment."""
        return self.public.partition("#")[0]

    @property
    def without_query(self) -> str:
        """The URL without credentials, query and fragment, as logs and spans may show it."""
        return self.without_fragment.partition("?")[0]

    def with_fragment(self, fragment: str) -> "Url":
        """Returns the URL with `fragment`, which is already serialised."""
        return self._replace(href=f"{self.href.partition('#')[0]}#{fragment}", fragment=fragment)

    def _userinfo_and_host(self) -> tuple[str, str, str]:
        """Splits the authority at its `@`; the serialization has at most one, the others are percent-encoded."""
        if self.scheme not in WEB_SCHEMES:
            return "", "", ""
        start = len(self.scheme) + 3
        return self.href[start : self.href.find("/", start)].partition("@")


def parse(text: str, base: Url | None = None) -> Url | None:
    """Parses text by the WHATWG URL standard, relative to `base` if given; None if it is not a URL.

    Text with lone surrogates, which no encoding has, is not a URL either.
    """
    try:
        href = ada_url.normalize_url(text) if base is None else ada_url.join_url(base.href, text)
    except (ValueError, UnicodeEncodeError):
        return None
    scheme, _, rest = href.partition(":")
    bare, mark, fragment = rest.partition("#")
    host, port = _host_and_port(bare) if scheme in WEB_SCHEMES else ("", "")
    return Url(
        href=href,
        scheme=scheme,
        host=host,
        port=int(port) if port else _DEFAULT_PORTS.get(scheme, 0),
        fragment=fragment if mark else None,
    )


def _host_and_port(bare: str) -> tuple[str, str]:
    """Splits what follows the scheme of a serialized web URL: `//` authority `/`. Asking the parser costs more."""
    host = bare[2 : bare.index("/", 2)].rpartition("@")[2]
    if host.endswith("]"):
        return host, ""
    name, colon, port = host.rpartition(":")
    return (name, port) if colon else (host, "")


def parse_bytes(raw: bytes, base: Url | None = None) -> Url | None:
    """Parses the bytes of a header as browsers do: each non-ASCII byte is percent-encoded.

    UTF-8 so stays UTF-8, other bytes survive unchanged, and a host, which the standard percent-decodes, still becomes
    punycode.
    """
    return parse(escape(raw), base)


def escape(raw: bytes) -> str:
    """Returns bytes as ASCII text, each non-ASCII byte percent-encoded."""
    if raw.isascii():
        return raw.decode("ascii")
    return "".join(chr(byte) if byte < 0x80 else f"%{byte:02X}" for byte in raw)


def parameters(url: Url) -> tuple[Parameter, ...]:
    """Returns the parameters of the query, then those of the fragment: in order, with duplicates, not decoded."""
    bare, _, fragment = url.href.partition("#")
    query = bare.partition("?")[2]
    found = _pairs(query, in_fragment=False) if query else []
    if fragment:
        found += _pairs(_query_of_fragment(fragment), in_fragment=True)
    return tuple(found)


def _query_of_fragment(fragment: str) -> str:
    """Returns the part of a fragment that has the form of parameters: of `#a=b` as well as of `#/route?a=b`."""
    before, mark, after = fragment.partition("?")
    if mark and "=" not in before:
        return after
    return fragment if "=" in fragment else ""


def _pairs(text: str, *, in_fragment: bool) -> list[Parameter]:
    found = []
    for piece in text.split("&"):
        if piece:
            name, separator, value = piece.partition("=")
            found.append(Parameter(name, value, in_fragment, not separator))
    return found
