"""Reads, without running anything, where a plain script redirect goes.

A page that exists only to redirect says `location = "…"`, `.href`, `.replace("…")` or `.assign("…")` with one string
literal, in a statement that always runs. Pages that people read have such statements too, but inside functions,
conditions and handlers of clicks; following one of those would walk off the landing page. So a statement counts only
where nothing decides whether it runs: at the top level, in a function that is called where it stands, in one that
waits for the page to load, or in a timer of at most 10 seconds.

The script is split into lexical tokens once and read once, so the cost is linear in its length. A script without
complete tokens and balanced brackets has a syntax error, and a browser runs nothing of it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

LONGEST_SCRIPT = 16 * 1024
"""Characters; a script that only redirects is short, and reading a long one would delay other walks."""

_LONGEST_TIMER = 10_000

_CHEAP = re.compile(r"location\s*(?:\.\s*href\s*)?=|location\s*\.\s*(?:replace|assign)\s*\(")

# Every alternative consumes what it begins, complete or not, and never backtracks: no input is read twice.
_TOKEN = re.compile(
    r"""
    (?P<space>[^\S\r\n\u2028\u2029]++|//[^\r\n]*+|<!--[^\r\n]*+)
    |(?P<line>[\r\n\u2028\u2029]++(?:\s*+-->[^\r\n]*+)?)
    |(?P<comment>/\*(?:[^*]|\*(?!/))*+(?:\*/)?)
    |(?P<string>"(?:[^"\\\r\n]|\\(?:\r\n|[\s\S]))*+"?|'(?:[^'\\\r\n]|\\(?:\r\n|[\s\S]))*+'?)
    |(?P<template>`(?:[^`\\]|\\[\s\S])*+`?)
    |(?P<word>[\w$]++)
    |(?P<arrow>=>)
    |(?P<sign>[\s\S])
    """,
    re.VERBOSE,
)
_REGEX = re.compile(r"/(?![*/])(?:[^/\\\r\n\[]|\\[^\r\n]|\[(?:[^\]\\\r\n]|\\[^\r\n])*+\])++/[a-z]*+")

_PAIRS = {")": "(", "]": "[", "}": "{"}
_BOUNDARIES = frozenset({"", ";", "{", "}"})
_OWNERS = frozenset({"window", "document", "self", "top", "parent", "globalThis"})
_LEAVING = frozenset({"return", "throw", "break", "continue"})
_PREFIXES = frozenset({"(", "!", "~", "+", "-", "void"})

_ESCAPE = re.compile(r"\\(?:u\{([0-9a-fA-F]{1,6})\}|u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(\r\n|[\s\S]))")
_SIMPLE = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v", "0": "\0"}
_CONTINUATIONS = frozenset({"\n", "\r", "\r\n", "\u2028", "\u2029"})


@dataclass(frozen=True, slots=True)
class ScriptRedirect:
    """A redirect that a script states as a literal."""

    target: str
    """The string literal, unescaped."""
    snippet: str
    """The statement as written."""


@dataclass(slots=True)
class _Token:
    text: str
    start: int
    new_line: bool
    """Whether a line ended before it."""
    partner: int = -1
    """The index of the other bracket."""

    @property
    def is_string(self) -> bool:
        return self.text[0] in "\"'"


_END = _Token(";", -1, new_line=True)


@dataclass(slots=True)
class _Block:
    certain: bool
    """Whether statements in it always run."""
    is_function: bool


def may_redirect(script: str) -> bool:
    """Returns whether a script may redirect, at a small part of the cost of reading it."""
    return len(script) <= LONGEST_SCRIPT and _CHEAP.search(script) is not None


def find_redirect(script: str) -> ScriptRedirect | None:
    """Returns the first redirect that always runs; None without one, and for a script that is too long."""
    if not may_redirect(script):
        return None
    tokens = _tokens(script)
    return _Reader(script, tokens).read() if tokens is not None else None


def _tokens(script: str) -> list[_Token] | None:
    """Splits a script into lexical tokens and pairs its brackets; None if it has a syntax error."""
    tokens: list[_Token] = []
    open_brackets: list[int] = []
    new_line = False
    at = 0
    while at < len(script):
        match = (_REGEX.match(script, at) if _may_begin_regex(script, at, tokens) else None) or _TOKEN.match(script, at)
        if match is None:
            return None
        at = match.end()
        text = match[0]
        kind = match.lastgroup
        if kind in {"space", "line", "comment"}:
            if kind == "comment" and not text.endswith("*/"):
                return None
            new_line = new_line or kind == "line" or (kind == "comment" and "\n" in text)
            continue
        if kind in {"string", "template"} and (len(text) < 2 or text[-1] != text[0]):
            return None
        token = _Token(text, match.start(), new_line)
        new_line = False
        if text in {"(", "[", "{"}:
            open_brackets.append(len(tokens))
        elif text in _PAIRS:
            if not open_brackets or tokens[open_brackets[-1]].text != _PAIRS[text]:
                return None
            token.partner = open_brackets.pop()
            tokens[token.partner].partner = len(tokens)
        tokens.append(token)
    return None if open_brackets else tokens


def _may_begin_regex(script: str, at: int, tokens: Sequence[_Token]) -> bool:
    """Returns whether a slash begins a regular expression: it does where a value is expected."""
    if script[at] != "/":
        return False
    before = tokens[-1].text if tokens else ""
    return before == "" or before in _LEAVING or before[-1] in "=(,:;!&|?{}[+-*%<>~^"


class _Reader:
    """Reads the lexical tokens of one script."""

    def __init__(self, script: str, tokens: Sequence[_Token]) -> None:
        self._script = script
        self._tokens = tokens

    def read(self) -> ScriptRedirect | None:
        """Returns the first redirect that always runs."""
        blocks = [_Block(certain=True, is_function=False)]
        for index, token in enumerate(self._tokens):
            if token.text == "{":
                blocks.append(self._block(index, outer=blocks[-1]))
            elif token.text == "}":
                blocks.pop()
            elif token.text in _LEAVING:
                _leave(blocks)
            elif blocks[-1].certain and self._begins_statement(index):
                found = self._redirect(index) or self._timer_of_string(index)
                if found is not None:
                    return found
        return None

    def _text(self, index: int) -> str:
        return self._tokens[index].text if 0 <= index < len(self._tokens) else ""

    def _begins_statement(self, index: int) -> bool:
        before = self._text(index - 1)
        if before in _BOUNDARIES:
            return True
        # A line end separates statements too, unless the one before goes on: after an operator, or an open condition.
        return self._tokens[index].new_line and (before[0].isalnum() or before[0] in "\"'_$") and before != "else"

    def _redirect(self, index: int) -> ScriptRedirect | None:
        """Reads `location = "…"` and its variants at the beginning of a statement."""
        at = index
        while self._text(at) in _OWNERS and self._text(at + 1) == ".":
            at += 2
        if self._text(at) != "location":
            return None
        at += 1
        if self._text(at) == "." and self._text(at + 1) in {"replace", "assign"} and self._text(at + 2) == "(":
            literal, end = at + 3, at + 5
            if self._text(at + 4) != ")":
                return None
        else:
            if self._text(at) == "." and self._text(at + 1) == "href":
                at += 2
            if self._text(at) != "=":
                return None
            literal, end = at + 1, at + 2
        if literal >= len(self._tokens) or not self._tokens[literal].is_string or not self._ends_statement(end):
            return None
        last = self._tokens[end - 1]
        snippet = self._script[self._tokens[index].start : last.start + len(last.text)]
        return ScriptRedirect(unescape(self._tokens[literal].text), snippet)

    def _ends_statement(self, index: int) -> bool:
        following = self._tokens[index] if index < len(self._tokens) else _END
        if following.text in {";", "}"}:
            return True
        return following.new_line and following.text[0].isalpha() and following.text not in {"in", "instanceof"}

    def _timer_of_string(self, index: int) -> ScriptRedirect | None:
        """Reads `setTimeout("…", 0)`, whose string is a script of its own."""
        at = index + 2 if self._text(index) == "window" and self._text(index + 1) == "." else index
        if self._text(at) != "setTimeout" or self._text(at + 1) != "(" or self._text(at + 3) != ",":
            return None
        code = self._tokens[at + 2]
        if not code.is_string or not self._is_short(at + 4) or self._text(at + 5) != ")":
            return None
        found = find_redirect(unescape(code.text))
        return (
            None
            if found is None
            else ScriptRedirect(found.target, self._script[code.start : code.start + len(code.text)])
        )

    def _is_short(self, index: int) -> bool:
        delay = self._text(index)
        return delay.isdecimal() and len(delay) < 10 and int(delay) <= _LONGEST_TIMER

    def _block(self, brace: int, *, outer: _Block) -> _Block:
        """Returns the block that a brace opens."""
        function = self._function_before(brace)
        if function is None:
            plain = self._text(brace - 1) in _BOUNDARIES or self._text(brace - 1) in {"try", "finally"}
            return _Block(certain=outer.certain and plain, is_function=False)
        runs = self._is_called(function, self._tokens[brace].partner)
        return _Block(certain=outer.certain and runs, is_function=True)

    def _function_before(self, brace: int) -> int | None:
        """Returns where the function begins whose body a brace opens; None if it opens something else."""
        at = brace - 1
        arrow = self._text(at) == "=>"
        if arrow:
            at -= 1
        if self._text(at) != ")":
            return at if arrow else None
        at = self._tokens[at].partner
        if not arrow:
            at -= 1
            if self._text(at) != "function":
                at -= 1
            if self._text(at) != "function":
                return None
        return at - 1 if self._text(at - 1) == "async" else at

    def _is_called(self, function: int, end: int) -> bool:
        """Returns whether a function, from its first token to its last brace, is certainly called."""
        before = self._text(function - 1)
        if before in _PREFIXES and self._text(function - 2) in _BOUNDARIES:
            following = self._text(end + 1)
            return following == "(" or (following == ")" and self._text(end + 2) == "(")
        if before == "=" and self._text(function - 2) == "onload":
            return self._statement_of(function - 2)
        if before == "(" and self._text(function - 2) == "setTimeout":
            soon = self._text(end + 1) == ")" or (self._text(end + 1) == "," and self._is_short(end + 2))
            return soon and self._statement_of(function - 2)
        if before == "," and self._text(function - 3) == "(" and self._text(function - 4) == "addEventListener":
            event = self._text(function - 2)[1:-1]
            return event in {"load", "DOMContentLoaded"} and self._statement_of(function - 4)
        return False

    def _statement_of(self, index: int) -> bool:
        """Returns whether a name, with or without `window.` and its like before it, begins a statement."""
        while self._text(index - 1) == "." and self._text(index - 2) in _OWNERS:
            index -= 2
        return self._begins_statement(index)


def _leave(blocks: list[_Block]) -> None:
    """Records that the rest of the function may never run."""
    for block in reversed(blocks):
        block.certain = False
        if block.is_function:
            return


def unescape(literal: str) -> str:
    """Returns the value of a JavaScript string literal, which includes its quotes."""

    def one(match: re.Match[str]) -> str:
        code = match[1] or match[2] or match[3]
        if code:
            number = int(code, 16)
            return chr(number) if number <= 0x10FFFF else "\ufffd"
        return "" if match[4] in _CONTINUATIONS else _SIMPLE.get(match[4], match[4])

    text = _ESCAPE.sub(one, literal[1:-1])
    # Two escaped halves of a character make one; a half without its other half is no character.
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
