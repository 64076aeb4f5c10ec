"""A script redirect is found where it is sure to run, and only there: a landing page must stay a landing page."""

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.tracer.follow import scripts

SURE = [
    "location='/n'",
    'location = "/n";',
    "window.location = '/n'",
    "window.location.href='/n';",
    "document.location.href = '/n'",
    "self.location='/n'",
    "top.location.href = '/n';",
    "parent.location = '/n'",
    "window.top.location.href = '/n'",
    "location.replace('/n')",
    "window.location.replace( '/n' );",
    "location.assign('/n');",
    "globalThis.location.href='/n'",
    "window . location . href\n=\n'/n'",
    "var x = 1; location.href = '/n'; var y = 2;",
    "var x = 1;\nlocation.href = '/n'\nvar y = 2",
    "{ location = '/n'; }",
    "try { location = '/n'; } catch (e) {}",
    "function f() { return 1; }\nlocation = '/n';",
    "(function () { var f = function () { return 1; }; location = '/n'; })();",
    "(async () => { location = '/n'; })();",
    "(function go() { location = '/n'; }());",
    "x = 4 / 2; location = '/n'; y = 6 / 3;",
    "// a comment\nlocation = '/n'",
    "/* a\ncomment */ location = '/n'",
    "<!-- hidden from old browsers\nlocation = '/n'\n-->",
    "if (x) { y(); } location = '/n';",
    "function f() { return 1; } location = '/n';",
    "(function () { location = '/n'; })();",
    "(() => { location = '/n' })()",
    "!function(){location='/n'}()",
    "setTimeout(function () { location.href = '/n'; }, 0);",
    "setTimeout(() => { location = '/n'; }, 3000)",
    "window.setTimeout(function(){window.location='/n'},10000);",
    "setTimeout(function () { location.href = '/n'; });",
    "setTimeout(\"location.href='/n'\", 500);",
    "window.onload = function () { location = '/n'; };",
    "window.addEventListener('load', function () { location = '/n'; });",
    "document.addEventListener(\"DOMContentLoaded\", () => { location.replace('/n'); });",
    "var s = \"location='/x'\"; location = '/n';",
    "var r = /location='x'/; location = '/n';",
    "location = '\\x2fn'",
    "location = '\\u002fn'",
    "location = '\\u{2f}n'",
    "location = '\\/n'",
    "location = '/\\\nn'",
]

NOT_SURE = [
    "",
    "var location = '/n'",
    "x.location = '/n'",
    "mylocation = '/n'",
    "location.hash = '/n'",
    "location.search = '/n'",
    "location == '/n'",
    "location.href == '/n';",
    "location = '/n' + x",
    "location = x + '/n'",
    "location.href = '/n' + document.cookie;",
    "location.replace('/n' + x)",
    "location = url",
    "location = `/${x}`",
    "if (x) location = '/n';",
    "if (x) { location = '/n'; }",
    "if (x) y(); else location = '/n';",
    "for (;;) { location = '/n'; }",
    "while (x) location = '/n'",
    "x && (location = '/n')",
    "x ? location = '/n' : 0",
    "function go() { location = '/n'; }",
    "const go = () => { location = '/n'; };",
    "button.onclick = function () { location = '/n'; };",
    "button.addEventListener('click', function () { location = '/n'; });",
    "setTimeout(function () { location = '/n'; }, 60000);",
    "setTimeout(\"location='/n'\", 60000);",
    "setInterval(function () { location = '/n'; }, 10);",
    "$(function () { go.click(function () { location = '/n'; }); });",
    "(function () { if (x) { location = '/n'; } })();",
    "(function () { function go() { location = '/n'; } })();",
    "// location = '/n'",
    "/* location = '/n' */",
    "var s = \"location = '/n'\";",
    "var s = `location = '/n'`;",
    "var o = { location: '/n' };",
    "try { x(); } catch (e) { location = '/n'; }",
    "switch (x) { case 1: location = '/n'; }",
    "location = '/n",
    "location.replace('/n'",
    "location = '/n'\n + x",
    "location = '/n'\n.length",
    "(function () { if (x) return; location = '/n'; })();",
    "(function () { if (x) { throw 1; } location = '/n'; })();",
    "x = function () { location = '/n'; };",
    "f(function () { location = '/n'; })();",
    "if (x)\nlocation = '/n';",
    "else\nlocation = '/n';",
    "location = '/n'; }",
    "location = '/n'; \"never closed",
    "({ location() { location = '/n'; } });",
    "class A { b() { location = '/n'; } }",
    "do { location = '/n'; } while (x)",
]


@pytest.mark.parametrize("script", SURE)
def test_found_where_it_is_sure_to_run(script: str) -> None:
    found = scripts.find_redirect(script)
    assert found is not None
    assert found.target == "/n"
    assert found.snippet in script


@pytest.mark.parametrize("script", NOT_SURE)
def test_not_found_where_it_may_not_run(script: str) -> None:
    assert scripts.find_redirect(script) is None


def _literal(text: str) -> str:
    """Writes a text as a JavaScript string literal, with every character escaped in one of its ways."""
    ways = ["\\u{{{:x}}}".format, "\\u{:04x}".format, "\\x{:02x}".format]
    written = []
    for number, char in enumerate(text):
        code = ord(char)
        way = 0 if code > 0xFFFF else number % 3 if code < 0x100 else number % 2
        written.append(ways[way](code))
    return '"' + "".join(written) + '"'


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
@example("\U0001f600/é\n")
def test_every_string_literal_is_read_back(text: str) -> None:
    found = scripts.find_redirect(f"location = {_literal(text)};")
    assert found is not None
    assert found.target == text


def test_halves_of_a_character_come_together() -> None:
    assert scripts.unescape(r"'\ud83d\ude00'") == "\U0001f600"
    assert scripts.unescape(r"'\ud83d'") == "\ufffd"
    assert scripts.unescape(r"'\u{110000}'") == "\ufffd"


@given(
    st.lists(
        st.sampled_from(
            [
                "location", "=", "'/n'", '"', "'", "(", ")", "{", "}", "[", "]", ";", "\n", "//", "/*", "*/", "`", "\\",
                "/", "x", "setTimeout(function(){", "},0)", ".replace(", "<!--", "-->", "\u2028", "\ud800", "return ",
            ]
        ),
        max_size=40,
    ).map("".join)
)  # fmt: skip
def test_no_script_makes_it_raise(script: str) -> None:
    scripts.find_redirect(script)


@pytest.mark.parametrize(
    "part",
    [
        "(", "{", "[", "'", '"', "`", "/*", "//", "/", "\\", "location=", "location='", "setTimeout(function(){",
        "x.", " ", "<!--", "(function(){", "location.replace(", "\\'", "a/[", "=>", "function(", "/*\n", "\n-->", "=/",
        "window.", "()=>{", "{}", "location='/x'+", "setTimeout('", "*",
    ],
)  # fmt: skip
def test_no_script_takes_long(part: str) -> None:
    script = (part * scripts.LONGEST_SCRIPT)[: scripts.LONGEST_SCRIPT - 20] + "\nlocation='/n'"
    began = time.process_time()
    scripts.find_redirect(script)
    assert time.process_time() - began < 0.5


def test_a_long_script_is_not_read() -> None:
    assert scripts.find_redirect("location='/n';" + " " * scripts.LONGEST_SCRIPT) is None
