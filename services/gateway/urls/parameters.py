"""Reading, merging and writing parameters so that no byte, no order and no duplicate is lost.

A query is split at "&" and at the first "=" of each part, and nothing else is interpreted: `%20` stays `%20`, `+` stays
`+`, an invalid escape stays what it is. Only names are decoded, and only to be compared.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple
from urllib.parse import quote_from_bytes, unquote_to_bytes

from services.gateway.model import Hop, MergePolicy, Offer, Origin, Parameter, ParameterSource

_UNSAFE = re.compile(rb"[^\x21-\x7e]")
_NOT_ASCII = re.compile(rb"[\x80-\xff]")


def wire_safe(raw: bytes) -> str:
    """Returns bytes as text that may stand in a header: octets outside printable ASCII are percent-encoded.

    Such octets cannot stand in a URL (RFC 3986, 2); a browser would encode them in the same way.
    """
    return _UNSAFE.sub(lambda match: b"%%%02X" % match[0][0], raw).decode("ascii")


def ascii_octets(raw: bytes) -> bytes:
    """Returns octets with those outside ASCII percent-encoded, and all others as they are."""
    return _NOT_ASCII.sub(lambda match: b"%%%02X" % match[0][0], raw)


def decoded(text: str) -> bytes:
    """Returns a name or value as the octets it stands for, with "+" for a space (application/x-www-form-urlencoded)."""
    return unquote_to_bytes(text.replace("+", " "))


def parse(query: str) -> tuple[Parameter, ...]:
    """Splits a query; `serialize` gives back exactly the same text."""
    if not query:
        return ()
    parameters = []
    for part in query.split("&"):
        name, equals, value = part.partition("=")
        parameters.append(Parameter(name, value, no_equals=not equals))
    return tuple(parameters)


def serialize(parameters: Iterable[Parameter]) -> str:
    """Joins parameters to a query."""
    return "&".join(
        parameter.name if parameter.no_equals else f"{parameter.name}={parameter.value}" for parameter in parameters
    )


def take_offer(parameters: Sequence[Parameter]) -> tuple[str | None, tuple[Parameter, ...]]:
    """Returns the name of the offer (None if there is none) and the parameters that are passed on.

    The parameter `offer` belongs to the click endpoint: the first names the offer, and none is passed on.
    """
    name: str | None = None
    rest = []
    for parameter in parameters:
        if decoded(parameter.name) != b"offer":
            rest.append(parameter)
        elif name is None:
            name = decoded(parameter.value).decode("utf-8", "replace")
    return name, tuple(rest)


def first_value(parameters: Sequence[Parameter], name: str) -> str:
    """Returns the first value of a name as it stood on the wire; empty if there is none."""
    wanted = name.encode()
    return next((parameter.value for parameter in parameters if decoded(parameter.name) == wanted), "")


class SplitUrl(NamedTuple):
    """A URL cut at its query and its fragment; None where there is none."""

    base: str
    query: str | None
    fragment: str | None

    @classmethod
    def of(cls, url: str) -> "SplitUrl":
        """Cuts a URL: the fragment begins at the first "#", the query before it at the first "?"."""
        rest, hash_mark, fragment = url.partition("#")
        base, question_mark, query = rest.partition("?")
        return cls(base, query if question_mark else None, fragment if hash_mark else None)

    @property
    def host(self) -> str:
        """The host and port, without user information; empty if there is none."""
        authority = self.base.partition("//")[2].partition("/")[0]
        return authority.rpartition("@")[2]

    def __str__(self) -> str:
        query = "" if self.query is None else f"?{self.query}"
        fragment = "" if self.fragment is None else f"#{self.fragment}"
        return f"{self.base}{query}{fragment}"


class Merged(NamedTuple):
    """A URL with merged parameters, and where each of them came from."""

    location: str
    sources: tuple[ParameterSource, ...]


def merge(url: str, inbound: Sequence[Parameter], offer: Offer, hops: Sequence[Hop] = ()) -> Merged:
    """Joins the parameters of a landing page with those of the click, as the offer's rules say.

    The landing URL keeps its own parameters in their places, and the click's follow in theirs. Where both have a name,
    INBOUND_WINS drops the traced ones, TRACED_WINS the click's, APPEND neither.
    """
    traced = _ruled(parse(_query(url)), offer)
    return _joined(url, traced, inbound, offer.merge_policy, _first_seen(hops))


def merge_own(url: str, inbound: Sequence[Parameter], offer: Offer) -> Merged:
    """Joins the parameters of a URL that the offer itself names with those of the click, by its merge policy.

    The lists of allowed, denied and renamed parameters are about traced ones and do not apply.
    """
    own = [(parameter, Origin.OFFER, "offer", parameter) for parameter in parse(_query(url))]
    return _joined(url, own, inbound, offer.merge_policy, {})


_Ruled = tuple[Parameter, Origin, str, Parameter]
"""A parameter as it goes out, who brought it, by which rule, and as it was seen on the way."""


def _query(url: str) -> str:
    return SplitUrl.of(wire_safe(url.encode())).query or ""


def _ruled(traced: Sequence[Parameter], offer: Offer) -> list[_Ruled]:
    allowed = {name.encode() for name in offer.allow_params}
    denied = {name.encode() for name in offer.deny_params}
    renamed = {rename.source.encode(): rename.target for rename in offer.rename_params}
    kept: list[_Ruled] = []
    for parameter in traced:
        key = decoded(parameter.name)
        if (allowed and key not in allowed) or key in denied:
            continue
        if key in renamed:
            name = quote_from_bytes(renamed[key].encode(), safe="")
            out = Parameter(name, parameter.value, parameter.no_equals)
            kept.append((out, Origin.TRACED, f"renamed from {wire_safe(key)}", parameter))
        else:
            kept.append((parameter, Origin.TRACED, "traced", parameter))
    return kept


def _joined(
    url: str,
    own: Sequence[_Ruled],
    inbound: Sequence[Parameter],
    policy: MergePolicy,
    seen: Mapping[tuple[bytes, str], int],
) -> Merged:
    inbound_names = {decoded(parameter.name) for parameter in inbound if not _is_gap(parameter)}
    own_names = {decoded(out.name) for out, *_ in own if not _is_gap(out)}
    shared = inbound_names & own_names
    output: list[_Ruled] = []
    for entry in own:
        out, origin, rule, was = entry
        if _is_gap(out) or decoded(out.name) not in shared:
            output.append(entry)
        elif policy is MergePolicy.TRACED_WINS:
            output.append((out, origin, f"{rule}, wins over inbound", was))
        elif policy is MergePolicy.APPEND:
            output.append((out, origin, f"{rule}, both kept", was))
    for parameter in inbound:
        if _is_gap(parameter) or decoded(parameter.name) not in shared:
            output.append((parameter, Origin.INBOUND, "inbound", parameter))
        elif policy is MergePolicy.INBOUND_WINS:
            output.append((parameter, Origin.INBOUND, "inbound wins", parameter))
        elif policy is MergePolicy.APPEND:
            output.append((parameter, Origin.INBOUND, "inbound, both kept", parameter))

    split = SplitUrl.of(wire_safe(url.encode()))
    query = serialize(out for out, *_ in output) if output else ("" if split.query == "" else None)
    sources = tuple(
        ParameterSource(out.name, out.value, origin, seen.get((decoded(was.name), was.value), -1), rule)
        for out, origin, rule, was in output
        if not _is_gap(out)
    )
    return Merged(str(SplitUrl(split.base, query, split.fragment)), sources)


def _is_gap(parameter: Parameter) -> bool:
    """Returns whether a part is the empty text between two "&", which is kept but is no parameter."""
    return not parameter.name and parameter.no_equals


def _first_seen(hops: Sequence[Hop]) -> Mapping[tuple[bytes, str], int]:
    seen: dict[tuple[bytes, str], int] = {}
    for hop in hops:
        for parameter in parse(SplitUrl.of(hop.url).query or ""):
            seen.setdefault((decoded(parameter.name), parameter.value), hop.index)
    return seen
