"""Reads, without running anything, where a plain script redirect goes.

A page that exists only to redirect says `location = "…"`, `.href`, `.replace("…")` or `.assign("…")` with one string
literal, in a statement that always runs. Pages that people read have such statements too, but inside functions,
conditions and handlers of clicks; following one of those would walk off the landing page. So a statement counts only
where nothing decides whether it runs: at the top level, in a function that is called where it stands, in one that
waits for the page to load, or in a timer of at most 10 seconds.
"""

import re
from dataclasses import dataclass

LONGEST_SCRIPT = 32 * 1024
"""Characters; a script that only redirects is short, and reading a long one would hold up other walks."""

_LONGEST_TIMER = 10_000
_OBJECT = r"(?:(?:window|document|self|top|parent|globalThis)\s*\.\s*){0,3}location"
_STRING = r"(?:\"(?:[^\"\\\r\n]|\\(?:\r\n|[\s\S]))*\"|'(?:[^'\\\r\n]|\\(?:\r\n|[\s\S]))*')"
_TARGET = rf"(?P<target>{_STRING})"
_TARGET_CALLED = rf"(?P<called>{_STRING})"

_CHEAP = re.compile(r"location\s*(?:\.\s*href\s*)?=|location\s*\.\s*(?:replace|assign)\s*\(")

_TOKEN = re.compile(
    rf"""
    (?P<space>\s+|//[^\r\n]*|/\*[\s\S]*?\*/|<!--[^\r\n]*|-->[^\r\n]*)
    |(?P<redirect>(?<![\w$.]){_OBJECT}\s*
        (?:(?:\.\s*href\s*)?=\s*{_TARGET}(?=\s*(?:[;}}]|$)|[^\S\r\n]*[\r\n])
        |\.\s*(?:replace|assign)\s*\(\s*{_TARGET_CALLED}\s*\)(?=\s*(?:[;}}]|$)|[^\S\r\n]*[\r\n])))
    |(?P<string>{_STRING}|`(?:[^`\\]|\\[\s\S])*`)
    |(?P<word>[\w$]+)
    |(?P<regex>(?<=[=(,:;!&|?{{}}])/(?![/*])(?:[^/\\\r\n\[]|\\.|\[(?:[^\]\\\r\n]|\\.)*\])+/)
    |(?P<open>[({{\[])
    |(?P<close>[)}}\]])
    |(?P<other>[\s\S])
    """,
    re.VERBOSE,
)

_FUNCTION = r"(?:async\s+)?(?:function\s*[\w$]*\s*\([^)]*\)|\([^)]*\)\s*=>)\s*$"
_CALLED_AT_ONCE = re.compile(rf"(?:^|[;}}{{!(+\-~])\s*\(?\s*{_FUNCTION}")
_ON_LOAD = re.compile(
    r"(?:(?:window|document|self)\s*\.\s*)?(?:onload\s*=|addEventListener\s*\(\s*[\"'](?:load|DOMContentLoaded)[\"']\s*,"
    rf"|setTimeout\s*\()\s*{_FUNCTION}"
)
_TIMER = re.compile(rf"setTimeout\s*\(\s*{_FUNCTION}")
_TIMER_DELAY = re.compile(r"\s*,\s*(\d{1,9})\s*\)")
_TIMER_OF_STRING = re.compile(
    rf"(?:window\s*\.\s*)?setTimeout\s*\(\s*(?P<code>{_STRING})\s*,\s*(?P<delay>\d{{1,9}})\s*\)"
)

_ESCAPE = re.compile(r"\\(?:u\{([0-9a-fA-F]{1,6})\}|u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(\r\n|[\s\S]))")
_SIMPLE = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v", "0": "\0"}
_CONTINUATIONS = frozenset({"\n", "\r", "\r\n", "\u2028", "\u2029"})


@dataclass(frozen=True, slots=True)
class ScriptRedirect:
    """A redirect that a script states plainly."""

    target: str
    """The string literal, unescaped."""
    snippet: str
    """The statement as it stands."""


def find_redirect(script: str) -> ScriptRedirect | None:
    """Returns the first redirect that always runs; None if there is none, or the script is too long to be one."""
    if len(script) > LONGEST_SCRIPT or _CHEAP.search(script) is None:
        return None
    return _scan(script)


def _scan(script: str) -> ScriptRedirect | None:
    # For each open bracket: whether what stands inside always runs.
    certain = [True]
    previous = ""
    for token in _TOKEN.finditer(script):
        kind = token.lastgroup
        if kind == "space":
            continue
        if kind == "redirect" or token["target"] or token["called"]:
            if certain[-1] and previous in {"", ";", "{", "}"}:
                return ScriptRedirect(unescape(token["target"] or token["called"]), token[0])
        elif kind == "open":
            certain.append(certain[-1] and _runs(script, token))
        elif kind == "close" and len(certain) > 1:
            certain.pop()
        elif kind == "word" and certain[-1] and previous in {"", ";", "{", "}"}:
            timed = _TIMER_OF_STRING.match(script, token.start())
            if timed is not None and int(timed["delay"]) <= _LONGEST_TIMER:
                found = _scan(unescape(timed["code"]))
                if found is not None:
                    return ScriptRedirect(found.target, timed[0])
        previous = token[0][-1]
    return None


def _runs(script: str, bracket: re.Match[str]) -> bool:
    """Says whether what an opening bracket holds always runs, given that what stands before it does."""
    if bracket[0] == "(":
        # Only functions count inside; a bare expression holds no statement.
        return True
    if bracket[0] != "{":
        return False
    before = script[max(0, bracket.start() - 200) : bracket.start()]
    if _TIMER.search(before):
        delay = _TIMER_DELAY.match(script, _end_of_block(script, bracket.end()))
        return delay is None or int(delay[1]) <= _LONGEST_TIMER
    return _ON_LOAD.search(before) is not None or _CALLED_AT_ONCE.search(before) is not None


def _end_of_block(script: str, start: int) -> int:
    depth = 1
    for token in _TOKEN.finditer(script, start):
        if token[0] == "{":
            depth += 1
        elif token[0] == "}":
            depth -= 1
            if not depth:
                return token.end()
    return len(script)


def unescape(literal: str) -> str:
    """Returns what a JavaScript string literal, quotes included, stands for."""

    def one(match: re.Match[str]) -> str:
        code = match[1] or match[2] or match[3]
        if code:
            number = int(code, 16)
            return chr(number) if number <= 0x10FFFF else "\ufffd"
        return "" if match[4] in _CONTINUATIONS else _SIMPLE.get(match[4], match[4])

    text = _ESCAPE.sub(one, literal[1:-1])
    # Two escaped halves of a character make one; a half without its other half is no character.
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
