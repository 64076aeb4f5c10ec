"""Where an html page leads: by a meta refresh, or by a plain script redirect.

Follows the HTML standard: parsing with scripting on (so `<noscript>` is text), `<base>`, the pragma directive
"refresh", and query strings in the encoding of the document.
"""

import codecs
import re
from urllib.parse import quote_from_bytes

from selectolax.lexbor import LexborHTMLParser, LexborNode

from services.tracer import redirects, scripts, urls
from services.tracer.model import HopKind
from services.tracer.redirects import DeadEnd, Lead
from services.tracer.urls import Url

LONGEST_SNIPPET = 200

_SCRIPT_TYPES = frozenset(
    {
        "", "module", "text/javascript", "application/javascript", "application/x-javascript", "text/ecmascript",
        "application/ecmascript", "text/jscript", "text/x-javascript",
    }
)  # fmt: skip
_CHARSET = re.compile(rb"charset\s*=\s*[\"']?\s*([^\s\"';,]+)", re.IGNORECASE)
_META_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([^\s\"'/>;]+)", re.IGNORECASE)
_PRESCAN = 1024
_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_HTML_START = re.compile(
    rb"[\t\n\f\r ]*"
    rb"<(?:!doctype html|html|head|script|iframe|h1|div|font|table|a|style|title|b|body|br|p|!--|meta)[\s>/-]",
    re.IGNORECASE,
)


def find_lead(body: bytes, content_type: bytes, document: Url, *, reload_may_differ: bool) -> Lead | DeadEnd | None:
    """Returns where a page leads; None if nowhere.

    `content_type` is the value of the header, empty if there was none; then the body must look like html, as browsers
    demand. `reload_may_differ` says whether loading the same URL again could show something else.
    """
    if not content_type.strip() and not _HTML_START.match(body):
        return None
    encoding = _encoding(body, content_type)
    text = body.decode(encoding, "replace").removeprefix("\ufeff")
    if not _may_lead(text):
        return None
    page = LexborHTMLParser(text, scripting=True)
    base = document
    base_known = False
    script: Lead | None = None
    for node in page.css('base[href], meta[http-equiv="refresh" i][content], script, body[onload]'):
        attributes = node.attributes
        if node.tag == "base":
            if not base_known:
                base_known = True
                base = urls.parse(attributes["href"] or "", document) or document
        elif node.tag == "meta":
            found = _meta_refresh(node, document, base, encoding, reload_may_differ=reload_may_differ)
            if found is not None:
                # A script that stands before it has run by then.
                return script or found
        elif script is None:
            script = _script(node, document, base, encoding)
    return script


def _may_lead(text: str) -> bool:
    """Says, at a small part of the cost of parsing, whether a page may lead anywhere.

    "&#" may spell either word in an attribute.
    """
    lower = text.lower()
    return "refresh" in lower or "location" in lower or "&#" in lower


def _meta_refresh(
    node: LexborNode, document: Url, base: Url, encoding: str, *, reload_may_differ: bool
) -> Lead | DeadEnd | None:
    refresh = redirects.parse_refresh(node.attributes.get("content") or "")
    if refresh is None:
        return None
    refresh = redirects.Refresh(refresh.delay, _encode_query(refresh.target, encoding))
    snippet = (node.html or "")[:LONGEST_SNIPPET]
    return redirects.follow_refresh(
        refresh, document, base, HopKind.META_REFRESH, snippet=snippet, reload_may_differ=reload_may_differ
    )


def _script(node: LexborNode, document: Url, base: Url, encoding: str) -> Lead | None:
    attributes = node.attributes
    if node.tag == "body":
        code = attributes.get("onload") or ""
    elif "src" in attributes or (attributes.get("type") or "").strip().lower() not in _SCRIPT_TYPES:
        return None
    else:
        code = node.text()
    found = scripts.find_redirect(code)
    if found is None:
        return None
    target = urls.parse(_encode_query(found.target, encoding), base)
    # A script with a URL that is none throws, and one that changes only the fragment loads nothing.
    if target is None or target.scheme == "javascript" or _same_but_fragment(target, document):
        return None
    return Lead(target, HopKind.SCRIPT, found.snippet[:LONGEST_SNIPPET])


def _same_but_fragment(one: Url, other: Url) -> bool:
    return one.href.partition("#")[0] == other.href.partition("#")[0]


def _encoding(body: bytes, content_type: bytes) -> str:
    """Returns the encoding of a page: byte order mark, header, declaration in its first 1024 bytes, else UTF-8."""
    for mark, name in _BOMS:
        if body.startswith(mark):
            return name
    declared = _CHARSET.search(content_type)
    in_header = declared is not None
    if declared is None:
        declared = _META_CHARSET.search(body[:_PRESCAN])
    if declared is None:
        return "utf-8"
    try:
        name = codecs.lookup(declared[1].decode("ascii", "replace")).name
        "".encode(name)
    except (LookupError, ValueError):
        return "utf-8"
    # The Encoding standard reads these two as windows-1252; a page that could be read up to its declaration is not
    # UTF-16; and codecs that are not of text are no encodings.
    if name in {"iso8859-1", "ascii"}:
        return "cp1252"
    if name.startswith("utf-16") and not in_header:
        return "utf-8"
    return name


def _encode_query(text: str, encoding: str) -> str:
    """Percent-encodes what is not ASCII in a query in the encoding of the document, as the URL standard says."""
    if encoding == "utf-8" or encoding.startswith("utf-16") or text.isascii():
        return text
    bare, mark, fragment = text.partition("#")
    before, question, query = bare.partition("?")
    encoded = "".join(
        char if char.isascii() else quote_from_bytes(char.encode(encoding, "xmlcharrefreplace"), safe="")
        for char in query
    )
    return before + question + encoded + mark + fragment
