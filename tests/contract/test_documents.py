"""Documents find each other: links lead somewhere, the index has every page, decisions and changelog have one form."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
DECISIONS = DOCS / "decisions"

_CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)


def pages() -> list[Path]:
    return sorted({*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *ROOT.glob("findings/*.md")})


@cache
def anchors(page: Path) -> frozenset[str]:
    """Returns the anchors that GitHub gives the headings of a page."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    words = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in _HEADING.findall(text))
    return frozenset(one.strip().replace(" ", "-") for one in words)


def links(page: Path) -> Iterator[str]:
    """Yields the links of a page that lead into this repository."""
    for target in _LINK.findall(_CODE.sub("", page.read_text())):
        if not re.match(r"[a-z]+:", target):
            yield target


def leads_somewhere(page: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    return target.exists() and (not anchor or anchor in anchors(target))


def test_every_link_leads_somewhere() -> None:
    found = [(page, link) for page in pages() for link in links(page)]
    assert len(found) > 100
    lost = [f"{page.relative_to(ROOT)}: {link}" for page, link in found if not leads_somewhere(page, link)]
    assert lost == []


def test_a_link_that_leads_nowhere_is_seen() -> None:
    page = DOCS / "README.md"
    assert leads_somewhere(page, "glossary.md#terms")
    assert not leads_somewhere(page, "glossary.md#nothing")
    assert not leads_somewhere(page, "nothing.md")


def test_the_index_lists_every_page_once() -> None:
    listed = [link for link in links(DOCS / "README.md") if "/" not in link]
    assert sorted(listed) == sorted(path.name for path in DOCS.glob("*.*") if path.name != "README.md")


def test_decisions_are_numbered_and_have_one_form() -> None:
    records = sorted(DECISIONS.glob("0*.md"))
    for number, record in enumerate(records, 1):
        text = record.read_text()
        assert record.name.startswith(f"{number:04}-")
        assert text.startswith(f"# {number}. ")
        assert re.findall(r"^\*\*(\w+)\.\*\* ", text, re.MULTILINE) == ["Status", "Context", "Decision", "Consequence"]
        assert re.search(
            r"^\*\*Status\.\*\* (Proposed|Accepted|Replaced by \[\d+\]\(\d{4}-[\w-]+\.md\))\.$", text, re.MULTILINE
        )
    assert list(links(DECISIONS / "README.md")) == [record.name for record in records]


def test_the_changelog_has_the_form_of_keep_a_changelog() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    releases = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert releases[0] == "[Unreleased]"
    assert all(re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", release) for release in releases[1:])
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    for part in text.split("\n## ")[1:]:
        found = re.findall(r"^### (.+)$", part, re.MULTILINE)
        assert set(found) <= kinds
        assert len(found) == len(set(found)), "each kind of change has one list in a release"
        assert not re.search(r"^- ", part.split("\n### ")[0], re.MULTILINE), "every line is below a kind of change"
