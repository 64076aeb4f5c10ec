"""A click record, and text that would be HTML if it were not escaped."""

from datetime import UTC, datetime

from services.gateway.model import (
    Answer,
    Attempt,
    ClickRecord,
    ClickStatus,
    Hop,
    Origin,
    ParameterSource,
)

HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>"


def record(**changes: object) -> ClickRecord:
    base = ClickRecord(
        click_id="0" * 32,
        version=2,
        offer="demo",
        status=ClickStatus.COMPLETED,
        start_time=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        give_up_time=datetime(2026, 1, 2, 3, 5, 5, tzinfo=UTC),
        inbound_query="offer=demo&gclid=1",
        answer=Answer.LANDING,
        visitor_wait=0.5,
        end_time=datetime(2026, 1, 2, 3, 4, 6, tzinfo=UTC),
        location="http://shop.example/l?clickid=c&gclid=1",
        final_url="http://shop.example/l?clickid=c",
        stop_reason="LANDING",
        attempts=(Attempt("l-1", 1, "192.0.2.1", 8899, "us", 0.1),),
        hops=(
            Hop(0, "http://a.example/x", 302, "LOCATION", "http://b.example/", 0.01, 0.02, None, 0.05, 0.06, ""),
            Hop(1, "http://b.example/", 200, "", "", None, None, None, 0.1, 0.2, ""),
        ),
        params=(
            ParameterSource("clickid", "c", Origin.TRACED, 1, "traced"),
            ParameterSource("gclid", "1", Origin.INBOUND, -1, "inbound"),
        ),
        otel_trace_id="ab" * 16,
    )
    return base._replace(**changes)  # type: ignore[arg-type]
