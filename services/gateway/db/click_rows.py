"""Translates click records to and from rows of the click log; pure.

A row may be of a newer build: a key of a hop, an attempt or a parameter that this build does not know is ignored.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from services.gateway.db.session import Row
from services.gateway.model import (
    Answer,
    Attempt,
    ClickRecord,
    ClickStatus,
    Hop,
    Origin,
    Outcome,
    ParameterSource,
)

_EMPTY_HOP = Hop(-1, "", 0, "", "", None, None, None, None, None, "")


def record_to_json(record: ClickRecord) -> dict[str, Any]:
    """Returns a record as one entry of the JSON array that `clicks_write` takes; times are in seconds."""
    last = record.attempts[-1] if record.attempts else None
    return {
        "click_id": record.click_id,
        "version": record.version,
        "offer": record.offer,
        "status": record.status,
        "answer": record.answer or "",
        "reason": record.reason,
        "start_time": record.start_time.isoformat(),
        "visitor_wait": record.visitor_wait,
        "end_time": _iso(record.end_time),
        "give_up_time": record.give_up_time.isoformat(),
        "inbound_query": record.inbound_query,
        "location": record.location,
        "final_url": record.final_url,
        "stop_reason": record.stop_reason,
        "failure_reason": last.failure_reason if last else "",
        "ip_assigned": last.ip_address if last else None,
        "trace_time": last.trace_time if last else None,
        "attempts": [attempt._asdict() for attempt in record.attempts],
        "hops": [_hop_to_json(hop) for hop in record.hops],
        "params": [source._asdict() for source in record.params],
        "joined_click_id": record.joined_click_id,
        "otel_trace_id": record.otel_trace_id,
        "visitor_address": record.visitor_address,
        "user_agent": record.user_agent,
        "webhook_url": record.webhook_url,
    }


def record_from_row(row: Row) -> ClickRecord:
    """Reads a record from a row; hops and parameters are empty if the statement did not select them."""
    return ClickRecord(
        click_id=row["click_id"],
        version=row["version"],
        offer=row["offer"],
        status=ClickStatus(row["status"]),
        answer=Answer(row["answer"]) if row["answer"] else None,
        reason=row["reason"],
        start_time=row["start_time"],
        visitor_wait=row["visitor_wait"],
        end_time=row["end_time"],
        give_up_time=row["give_up_time"],
        inbound_query=row["inbound_query"],
        location=row["location"],
        final_url=row["final_url"],
        stop_reason=row["stop_reason"],
        attempts=tuple(_attempt_from_json(entry) for entry in _entries(row, "attempts")),
        hops=tuple(_hop_from_json(entry) for entry in _entries(row, "hops")),
        params=tuple(_source_from_json(entry) for entry in _entries(row, "params")),
        joined_click_id=row["joined_click_id"],
        otel_trace_id=row["otel_trace_id"],
        visitor_address=row["visitor_address"],
        user_agent=row["user_agent"],
    )


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _hop_to_json(hop: Hop) -> dict[str, Any]:
    """Returns the fields of a hop that differ from those of an empty one: what is not there does not grow the log."""
    return {name: value for name, value, empty in zip(Hop._fields, hop, _EMPTY_HOP, strict=True) if value != empty}


def _entries(row: Row, column: str) -> Sequence[Any]:
    text = row.get(column)
    entries: Sequence[Any] = json.loads(text) if text else []
    return entries


def _hop_from_json(entry: Mapping[str, Any]) -> Hop:
    hop = _EMPTY_HOP._replace(**_known(Hop, entry))
    return hop._replace(set_cookie_names=tuple(hop.set_cookie_names)) if hop.set_cookie_names else hop


def _attempt_from_json(entry: Mapping[str, Any]) -> Attempt:
    outcome = entry["outcome"]
    return Attempt(**{**_known(Attempt, entry), "outcome": Outcome(outcome) if outcome else None})


def _source_from_json(entry: Mapping[str, Any]) -> ParameterSource:
    return ParameterSource(**{**_known(ParameterSource, entry), "origin": Origin(entry["origin"])})


def _known(kind: type[Hop | Attempt | ParameterSource], entry: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the keys of an entry that are fields of a type."""
    return {key: entry[key] for key in kind._fields if key in entry}
