"""Whatever is not HTML is escaped."""

from services.gateway.console.markup import el, join
from tests.unit.gateway.console.samples import HOSTILE


def test_whatever_is_not_html_is_escaped() -> None:
    assert el("p", HOSTILE, title=HOSTILE) == (
        '<p title="&quot;&#x27;&gt;&lt;script&gt;alert(1)&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;">'
        "&quot;&#x27;&gt;&lt;script&gt;alert(1)&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;</p>"
    )
    assert join(["<b>", el("b", "x"), None, 3]) == "&lt;b&gt;<b>x</b>3"


def test_attributes_without_a_value_and_those_left_out() -> None:
    assert el("input", required=True, autofocus=False, name=None, data_id="1", class_="a") == (
        '<input required data-id="1" class="a">'
    )
