"""How offers and click records look as rows; pure translation, both ways."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, Protocol

from services.gateway.model import (
    Answer,
    Attempt,
    ClickRecord,
    ClickStatus,
    FallbackPolicy,
    Hop,
    MergePolicy,
    Mode,
    Offer,
    Origin,
    Outcome,
    ParameterSource,
    Rename,
    UserAgentPolicy,
)
from services.gateway.urls.parameters import SplitUrl, parse


class Row(Protocol):
    """A row by the names of its columns."""

    def __getitem__(self, column: str, /) -> Any:
        """Returns the value of a column."""
        ...

    def get(self, key: str) -> Any:
        """Returns the value of a column, or None if the row lacks it."""
        ...


def offer_values(offer: Offer) -> tuple[Any, ...]:
    """Returns what `offer_insert` and `offer_update` take, in their order."""
    return (
        offer.name,
        offer.tracking_url,
        offer.country,
        offer.max_wait,
        offer.mode,
        offer.merge_policy,
        list(offer.allow_params),
        list(offer.deny_params),
        json.dumps([asdict(rename) for rename in offer.rename_params]),
        list(offer.identity_params),
        offer.fallback_url,
        offer.fallback_policy,
        list(offer.landing_hosts),
        offer.user_agent_policy,
        offer.allow_app_links,
        offer.weight,
        offer.join_window,
        offer.webhook_url,
        offer.disabled,
    )


def offer_of(row: Row) -> Offer:
    """Reads an offer from a row."""
    return Offer(
        name=row["name"],
        tracking_url=row["tracking_url"],
        country=row["country"],
        max_wait=row["max_wait"],
        mode=Mode(row["mode"]),
        merge_policy=MergePolicy(row["merge_policy"]),
        allow_params=tuple(row["allow_params"]),
        deny_params=tuple(row["deny_params"]),
        rename_params=tuple(Rename(**rename) for rename in json.loads(row["rename_params"])),
        identity_params=tuple(row["identity_params"]),
        fallback_url=row["fallback_url"],
        fallback_policy=FallbackPolicy(row["fallback_policy"]),
        landing_hosts=tuple(row["landing_hosts"]),
        user_agent_policy=UserAgentPolicy(row["user_agent_policy"]),
        allow_app_links=row["allow_app_links"],
        weight=row["weight"],
        join_window=row["join_window"],
        webhook_url=row["webhook_url"],
        disabled=row["disabled"],
        create_time=row["create_time"],
        update_time=row["update_time"],
    )


def record_json(record: ClickRecord) -> dict[str, Any]:
    """Returns a record as `clicks_write` takes it."""
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
        "hops": [_hop_json(hop) for hop in record.hops],
        "params": [source._asdict() for source in record.params],
        "joined_click_id": record.joined_click_id,
        "otel_trace_id": record.otel_trace_id,
        "visitor_address": record.visitor_address,
        "user_agent": record.user_agent,
        "webhook_url": record.webhook_url,
    }


def record_of(row: Row) -> ClickRecord:
    """Reads a record from a row; one that was listed lacks hops and parameters."""
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
        attempts=tuple(_attempt_of(entry) for entry in _entries(row, "attempts")),
        hops=tuple(_hop_of(entry) for entry in _entries(row, "hops")),
        params=tuple(_source_of(entry) for entry in _entries(row, "params")),
        joined_click_id=row["joined_click_id"],
        otel_trace_id=row["otel_trace_id"],
        visitor_address=row["visitor_address"],
        user_agent=row["user_agent"],
    )


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _hop_json(hop: Hop) -> dict[str, Any]:
    entry = hop._asdict()
    # They stand in its URL; a second copy would only grow the log.
    del entry["params"]
    return entry


def _entries(row: Row, column: str) -> Sequence[Any]:
    text = row.get(column)
    entries: Sequence[Any] = json.loads(text) if text else []
    return entries


def _hop_of(entry: Mapping[str, Any]) -> Hop:
    query = SplitUrl.of(entry["url"]).query or ""
    return Hop(**entry, params=parse(query))


def _attempt_of(entry: Mapping[str, Any]) -> Attempt:
    outcome = entry["outcome"]
    return Attempt(**{**entry, "outcome": Outcome(outcome) if outcome else None})


def _source_of(entry: Mapping[str, Any]) -> ParameterSource:
    return ParameterSource(**{**entry, "origin": Origin(entry["origin"])})
