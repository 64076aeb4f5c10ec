"""One click as a waterfall: every phase, the origin of every parameter, and hostile text as text."""

import re

from services.gateway.console import parts, waterfall
from services.gateway.console.markup import Html
from services.gateway.model import (
    Answer,
    Attempt,
    Hop,
    Origin,
    ParameterSource,
)
from tests.unit.gateway.console.samples import HOSTILE, record


def test_hostile_text_reaches_no_page_as_html() -> None:
    hostile = record(
        offer=HOSTILE,
        reason=HOSTILE,
        answer=Answer.FALLBACK,
        location=f"http://x/?a={HOSTILE}",
        stop_reason=HOSTILE,
        joined_click_id=HOSTILE,
        hops=(
            Hop(
                *(0, f"http://{HOSTILE}/{HOSTILE}", 302, HOSTILE, HOSTILE, 0, 0, 0, 0, 1, HOSTILE, 1),
                *(HOSTILE, HOSTILE, HOSTILE, 1, (HOSTILE,), HOSTILE),
            ),
        ),
        params=(ParameterSource(HOSTILE, HOSTILE, Origin.TRACED, 0, HOSTILE),),
        attempts=(Attempt(HOSTILE, 1, HOSTILE, 1, HOSTILE, 0.1, None, None, HOSTILE),),
    )
    for html in (waterfall.click(hostile, jaeger_url=""), parts.click_row(hostile), parts.running([hostile], 2e9)):
        assert "&lt;script&gt;" in html
        assert not re.search(r"<(script|img)", html)
        assert isinstance(html, Html)


def test_a_waterfall_shows_each_phase_and_the_origin_of_each_parameter() -> None:
    html = waterfall.click(record(), jaeger_url="http://jaeger.example/")
    assert re.findall(r'<rect class="(\w+)"', html) == [
        *("lease", "answered"),
        *("dns", "connect", "first", "body", "answered"),
        *("first", "body", "answered"),
        *("answer", "answered"),
    ]
    assert '<mark class="traced">clickid=c</mark>&amp;<mark class="inbound">gclid=1</mark>' in html
    assert f'href="http://jaeger.example/trace/{"ab" * 16}"' in html
    assert "chain, hop 1" in html
    assert "data-ended" in html


def test_a_hop_unfolds_to_what_the_walk_knew_of_it() -> None:
    plain, *_ = record().hops
    known = plain._replace(
        remote_address="192.0.2.1:8899",
        http_version="2",
        tls_version="TLSv1.3",
        bytes=1_234,
        set_cookie_names=("sid", "seen"),
        snippet='location = "/l"',
    )
    unfolded = re.search(r"<dl>.*?</dl></details>", waterfall.click(record(hops=(known,)), jaeger_url=""))
    assert unfolded
    assert re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", unfolded[0]) == [
        ("Connected to", "192.0.2.1:8899"),
        ("Spoke", "HTTP/2 over TLSv1.3"),
        ("Received", "1.2 kB"),
        ("Set cookies", "sid, seen"),
        ("Led on by", "<code>location = &quot;/l&quot;</code>"),
    ]
    assert "<dl></dl>" not in waterfall.click(record(hops=(plain,)), jaeger_url="")


def test_no_link_without_a_jaeger_and_no_style_that_the_policy_would_refuse() -> None:
    html = waterfall.click(record(), jaeger_url="")
    assert "Jaeger" not in html
    assert "style=" not in html


def test_words_of_a_newer_build_are_shown_as_they_are() -> None:
    newer = record(answer=Answer("NEWER_ANSWER"), params=(ParameterSource("a", "1", Origin("NEWER_ORIGIN"), -1, ""),))
    html = waterfall.click(newer, jaeger_url="")
    assert "newer answer" in html
    assert "newer origin" in html
