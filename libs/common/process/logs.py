"""Structured logs: one JSON line per event, or readable lines on a terminal, with the trace they belong to."""

import json
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal

import structlog
from opentelemetry import trace
from structlog.types import EventDict, WrappedLogger

Format = Literal["auto", "json", "console"]

_about: ContextVar[Mapping[str, str]] = ContextVar("about")


def _add_about(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Adds the pairs of `about`. structlog's own way looks through every context variable for each line."""
    pairs = _about.get(None)
    return {**pairs, **event} if pairs else event


def _add_trace(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Adds `trace_id` and `span_id` of the current OpenTelemetry span, so that a log line leads to its trace."""
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event["trace_id"] = trace.format_trace_id(context.trace_id)
        event["span_id"] = trace.format_span_id(context.span_id)
    return event


def _drop_trace(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Drops the ids where a person reads; the JSON form has them."""
    for name in ("trace_id", "span_id", "service", "logger"):
        event.pop(name, None)
    return event


def setup(service: str, fmt: Format = "auto", level: str = "info") -> None:
    """Sends everything that is logged, by us and by libraries, to standard error in one form.

    Our own lines go there straight: through the machinery of `logging` each costs more than twice as much, and a click
    of four hops writes eight.
    """
    console = fmt == "console" or (fmt == "auto" and sys.stderr.isatty())
    processors: list[structlog.types.Processor] = [
        _add_about,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        _add_trace,
    ]
    if console:
        processors += [
            _drop_trace,
            structlog.processors.TimeStamper(fmt="%H:%M:%S.%f", utc=False),
        ]
        render: structlog.types.Processor = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            sort_keys=False,
            pad_event_to=18,
            # The default shows local variables too, and among them are passwords.
            exception_formatter=structlog.dev.plain_traceback,
        )
    else:

        def add_service(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
            event["service"] = service
            return event

        processors += [
            add_service,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
        ]
        render = _render_json
    structlog.configure(
        processors=[*processors, render, _encode],
        logger_factory=structlog.BytesLoggerFactory(sys.stderr.buffer),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    _leave_out_what_no_line_shows()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=processors,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.getLogger("asyncio").setLevel(logging.WARNING)


# One for all lines: json.dumps() with options makes a new one each time. What JSON does not know is shown as it is.
_JSON = json.JSONEncoder(default=repr)


def _render_json(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    """Writes an event as one JSON object."""
    return _JSON.encode(event)


def _encode(_logger: WrappedLogger, _method: str, line: Any) -> bytes:
    """Encodes a rendered line."""
    return str(line).encode("utf-8", "backslashreplace")


def _leave_out_what_no_line_shows() -> None:
    """Spares each line of a library a look at its caller, thread, process and task: a third of its cost, measured.

    The switches are those of the "Optimization" section of Python's logging HOWTO.
    """
    logging._srcfile = None  # noqa: SLF001 - documented there under this name
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False


@contextmanager
def about(**pairs: str) -> Iterator[None]:
    """Adds pairs to every event that is logged inside the block, and in tasks that are started there."""
    token = _about.set({**_about.get({}), **pairs})
    try:
        yield
    finally:
        _about.reset(token)


def get(name: str) -> structlog.typing.FilteringBoundLogger:
    """Returns the logger of a module; events are dotted lower-case names with key-value pairs."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(name)
    return logger
