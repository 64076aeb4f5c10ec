"""Whole pages: the parts stand where the script finds them, and nothing foreign becomes HTML."""

from services.gateway.console import page
from services.gateway.console.markup import Html, el
from tests.unit.gateway.console.samples import HOSTILE


def test_the_console_has_every_part_in_its_place_before_the_first_frame() -> None:
    names = ("notice", "figures", "legend", "countries", "running", "offers")
    html = page.console({name: el("b", name) for name in names}, static="/static/1", version="1", asks_token=False)
    for name in names:
        assert f'id="part-{name}"' in html
        assert f"<b>{name}</b>" in html
    assert 'data-version="1"' in html
    assert "Sign out" not in html
    assert "Sign out" in page.console({}, static="/static/1", version="1", asks_token=True)


def test_pages_load_their_own_files_alone() -> None:
    for html in (
        page.console({}, static="/static/1", version="1", asks_token=True),
        page.one_click(Html("<p>click</p>"), static="/static/1"),
        page.sign_in(static="/static/1"),
    ):
        assert html.startswith("<!doctype html>")
        assert "http:" not in html
        assert "https:" not in html
        assert "style=" not in html


def test_what_was_wrong_with_a_sign_in_is_told_as_text() -> None:
    html = page.sign_in(static="/static/1", problem=HOSTILE)
    assert "<script>alert" not in html
    assert 'aria-describedby="problem"' in html
    assert "problem" not in page.sign_in(static="/static/1")
