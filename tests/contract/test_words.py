"""One word for one thing: the words that docs/glossary.md retires stand nowhere but where its exceptions allow them."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GLOSSARY = ROOT / "docs" / "glossary.md"
PLACES = (
    "*.md",
    "docs/**/*.md",
    "protos/**/*.proto",
    *(f"{top}/**/*.{kind}" for top in ("services", "libs", "local", "bench") for kind in ("py", "sql")),
)
# The changelog is history, and tells it in the words of its time; the settings page is made from the settings modules.
UNREAD = {"CHANGELOG.md", "docs/glossary.md", "docs/settings.md"}

_CODE_SPAN = re.compile(r"^```.*?^```|`[^`\n]*`", re.MULTILINE | re.DOTALL)
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


@dataclass(frozen=True)
class Allowed:
    """An exception of the glossary: a retired word, and where it stays."""

    word: str
    place: str


def rows(heading: str) -> Iterator[list[str]]:
    """Yields the cells of each row of the table below a heading of the glossary."""
    section = GLOSSARY.read_text().split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    for line in section.splitlines():
        if line.startswith("| ") and not line.startswith(("| word |", "| term |")):
            yield [cell.strip() for cell in line.strip("|").split(" | ")]


@cache
def retired() -> tuple[str, ...]:
    """Returns the words that the glossary retires."""
    return tuple(word for *_, cell in rows("Terms") for word in re.findall(r"`([^`]+)`", cell))


@cache
def exceptions() -> tuple[Allowed, ...]:
    """Returns where retired words may stay."""
    return tuple(
        Allowed(word, place)
        for words, places, _ in rows("Where a retired word stays")
        for word in re.findall(r"`([^`]+)`", words)
        for place in re.findall(r"`([^`]+)`", places)
    )


def prose(path: Path) -> str:
    """Returns what is written by people for people in a file: identifiers, comments and docstrings, or the text."""
    text = path.read_text()
    if path.suffix == ".md":
        return _CODE_SPAN.sub(" · ", text)
    if path.suffix in {".sql", ".proto"}:
        return "\n".join(re.findall(r"(?:--|//)(.*)", text))
    names = (
        token.string
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type in {tokenize.NAME, tokenize.COMMENT}
    )
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    literals = (
        node.value.value
        for owner in ast.walk(ast.parse(text))
        if isinstance(owner, documented)
        for node in owner.body
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    )
    return " · ".join((*names, *literals))


def stands_in(text: str) -> set[str]:
    """Returns the retired words in a text; `JournalEntry` and `journal_size` hold the word "journal"."""
    words = " ".join(part.lower() for part in re.findall(rf"{_WORD.pattern}|·", text))
    return {word for word in retired() if re.search(rf"\b{re.escape(word)}\b", words)}


@cache
def found() -> dict[str, set[str]]:
    """Returns the retired words in each file, by its path."""
    paths = sorted({path for place in PLACES for path in ROOT.glob(place)})
    named = ((str(path.relative_to(ROOT)), path) for path in paths)
    by_path = {name: stands_in(prose(path)) for name, path in named if name not in UNREAD}
    return {name: words for name, words in by_path.items() if words}


def covers(allowed: Allowed, name: str, word: str) -> bool:
    """Says whether an exception lets a word stay in a file; a place that ends in "/" is a whole folder."""
    return allowed.word == word and (
        name.startswith(allowed.place) if allowed.place.endswith("/") else name == allowed.place
    )


def test_a_retired_word_stands_only_where_the_glossary_lets_it() -> None:
    astray = [
        f"{name}: {word!r}"
        for name, words in found().items()
        for word in sorted(words)
        if not any(covers(allowed, name, word) for allowed in exceptions())
    ]
    assert astray == [], "docs/glossary.md says which word to use instead"


def test_an_exception_is_needed() -> None:
    idle = [
        allowed
        for allowed in exceptions()
        if not any(covers(allowed, name, word) for name, words in found().items() for word in words)
    ]
    assert idle == [], "nothing needs these any more: take them out of docs/glossary.md"


def test_an_exception_is_for_a_retired_word() -> None:
    assert {allowed.word for allowed in exceptions()} <= set(retired())


def test_each_term_is_settled_once() -> None:
    terms = [term for term, *_ in rows("Terms")]
    assert len(terms) == len(set(terms))
    assert terms == sorted(terms, key=lambda term: term.strip("*").lower())
    assert len(retired()) == len(set(retired()))
    assert not {term.strip("*") for term in terms} & set(retired())


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ("class JourneyTable", {"journey"}),
        ("_MAX_JOURNEYS", {"journeys"}),
        ("an IP that was\ntaken out", {"taken out"}),
        ("taken · out", set()),
        ("the rest of the query", set()),
    ],
)
def test_words_are_found_in_identifiers_and_prose(text: str, held: set[str]) -> None:
    assert stands_in(text) == held
