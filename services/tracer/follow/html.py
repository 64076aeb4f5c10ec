"""Finds where an HTML page leads: by a meta refresh, or by a plain script redirect.

Follows the HTML standard: parsing with scripting on (so `<noscript>` is text), `<base>`, the pragma directive
"refresh", and query strings in the encoding of the document.
"""

import codecs
import re
from urllib.parse import quote_from_bytes

from selectolax.lexbor import LexborHTMLParser, LexborNode

from services.tracer.follow import redirects, referrers, scripts, urls
from services.tracer.follow.redirects import DeadEnd, Lead
from services.tracer.follow.urls import Url
from services.tracer.model.report import HopKind

LONGEST_SNIPPET = 200
"""Characters."""

SCRIPT_BUDGET = 32 * 1024
"""Characters of script that are read per page, so that no page delays other walks."""

_ELEMENTS = 'base[href], meta[name="referrer" i][content], meta[http-equiv="refresh" i][content], script, body[onload]'
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
# Of the many codecs of Python those that are also encodings of the web.
_ENCODINGS = re.compile(
    r"utf-8|utf-16(?:-[lb]e)?|ascii|cp(?:1250|1251|1252|1253|1254|1255|1256|1257|1258|866|874|932|949)|iso8859-\d{1,2}"
    r"|koi8-[ru]|mac-(?:roman|cyrillic)|gb2312|gbk|gb18030|big5(?:hkscs)?|euc_jp|euc_kr|shift_jis|iso2022_jp"
)
_HTML_START = re.compile(
    rb"[\t\n\f\r ]*"
    rb"<(?:!doctype html|html|head|script|iframe|h1|div|font|table|a|style|title|b|body|br|p|!--|meta)[\s>/-]",
    re.IGNORECASE,
)


def find_lead(body: bytes, content_type: bytes, document: Url, *, reload_may_differ: bool) -> Lead | DeadEnd | None:
    """Returns where a page leads; None if nowhere.

    `content_type` is the value of the header, empty if there was none; then the body must look like HTML, as browsers
    demand. `reload_may_differ` tells whether loading the same URL again could give another page.
    """
    if not content_type.strip() and not _HTML_START.match(body):
        return None
    encoding = _encoding(body, content_type)
    text = body.decode(encoding, "replace").removeprefix("\ufeff")
    if not _may_lead(text):
        return None
    page = LexborHTMLParser(text, scripting=True)
    return _Reader(document, encoding, reload_may_differ=reload_may_differ).read(page)


class _Reader:
    """Reads the relevant elements of one page in order."""

    def __init__(self, document: Url, encoding: str, *, reload_may_differ: bool) -> None:
        self._document = document
        self._encoding = encoding
        self._reload_may_differ = reload_may_differ
        self._base: Url | None = None
        self._script_budget = SCRIPT_BUDGET
        self._referrer_policy = ""

    def read(self, page: LexborHTMLParser) -> Lead | DeadEnd | None:
        """Returns where the page leads."""
        script: Lead | None = None
        for node in page.css(_ELEMENTS):
            if node.tag == "base":
                # Only the first counts, and only for what stands behind it.
                self._base = self._base or self._based_on(node)
            elif node.tag == "meta" and node.attributes.get("name") is not None:
                self._referrer_policy = (
                    referrers.policy_of_meta(node.attributes["content"] or "") or self._referrer_policy
                )
            elif node.tag == "meta":
                refresh = self._refresh(node)
                if refresh is not None:
                    # A script that stands before it has run by then.
                    return self._declared(script or refresh)
            elif script is None:
                script = self._script(node)
        return self._declared(script)

    def _declared(self, lead: Lead | DeadEnd | None) -> Lead | DeadEnd | None:
        """Adds the referrer policy that the page declares before its lead."""
        return lead._replace(referrer_policy=self._referrer_policy) if isinstance(lead, Lead) else lead

    def _based_on(self, node: LexborNode) -> Url:
        base = urls.parse(node.attributes["href"] or "", self._document)
        return self._document if base is None or base.scheme in {"data", "javascript"} else base

    def _refresh(self, node: LexborNode) -> Lead | DeadEnd | None:
        refresh = redirects.parse_refresh(node.attributes["content"] or "")
        if refresh is None:
            return None
        return redirects.follow_refresh(
            redirects.Refresh(refresh.delay, _encode_query(refresh.target, self._encoding)),
            self._document,
            self._base or self._document,
            HopKind.META_REFRESH,
            snippet=(node.html or "")[:LONGEST_SNIPPET],
            reload_may_differ=self._reload_may_differ,
        )

    def _script(self, node: LexborNode) -> Lead | None:
        code = _code(node)
        if not scripts.may_redirect(code) or len(code) > self._script_budget:
            return None
        self._script_budget -= len(code)
        found = scripts.find_redirect(code)
        if found is None:
            return None
        target = urls.parse(_encode_query(found.target, self._encoding), self._base or self._document)
        # A script with an invalid URL throws, and one that changes only the fragment loads nothing.
        if target is None or target.scheme == "javascript" or _same_but_fragment(target, self._document):
            return None
        return Lead(target, HopKind.SCRIPT, found.snippet[:LONGEST_SNIPPET])


def _code(node: LexborNode) -> str:
    """Returns the inline script of an element; empty if a browser would run none."""
    attributes = node.attributes
    if node.tag == "body":
        return attributes["onload"] or ""
    if "src" in attributes or (attributes.get("type") or "").strip().lower() not in _SCRIPT_TYPES:
        return ""
    return node.text()


def _may_lead(text: str) -> bool:
    """Returns whether a page may lead anywhere, at a small part of the cost of parsing it.

    "&#" may spell either word in an attribute.
    """
    lower = text.lower()
    return "refresh" in lower or "location" in lower or "&#" in lower


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
    except (LookupError, ValueError):
        return "utf-8"
    if not _ENCODINGS.fullmatch(name):
        return "utf-8"
    # The Encoding standard reads these two as windows-1252, and rules UTF-16 out for a page whose declaration was
    # readable as ASCII.
    if name in {"iso8859-1", "ascii"}:
        return "cp1252"
    if name.startswith("utf-16") and not in_header:
        return "utf-8"
    return name


def _encode_query(text: str, encoding: str) -> str:
    """Percent-encodes the non-ASCII characters of a query in the encoding of the document, by the URL standard."""
    if encoding == "utf-8" or encoding.startswith("utf-16") or text.isascii():
        return text
    bare, mark, fragment = text.partition("#")
    before, question, query = bare.partition("?")
    encoded = "".join(
        char if char.isascii() else quote_from_bytes(char.encode(encoding, "xmlcharrefreplace"), safe="")
        for char in query
    )
    return before + question + encoded + mark + fragment
