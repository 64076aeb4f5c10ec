"""Structured logs: one JSON line per event, or readable lines on a terminal, with the trace they belong to."""

import logging
import sys
from contextlib import AbstractContextManager
from typing import Literal

import structlog
from opentelemetry import trace
from structlog.types import EventDict, WrappedLogger

Format = Literal["auto", "json", "console"]


def _add_trace(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Adds `trace_id` and `span_id` of the current OpenTelemetry span, so that a log line leads to its trace."""
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event["trace_id"] = trace.format_trace_id(context.trace_id)
        event["span_id"] = trace.format_span_id(context.span_id)
    return event


def _drop_trace(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Leaves ids out where a person reads along; the JSON form has them."""
    for name in ("trace_id", "span_id", "service", "logger"):
        event.pop(name, None)
    return event


def setup(service: str, fmt: Format = "auto", level: str = "info") -> None:
    """Sends everything that is logged, by us and by libraries, to standard error in one form."""
    console = fmt == "console" or (fmt == "auto" and sys.stderr.isatty())
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        _add_trace,
    ]
    if console:
        rendering: list[structlog.types.Processor] = [
            _drop_trace,
            structlog.processors.TimeStamper(fmt="%H:%M:%S.%f", utc=False),
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(),
                sort_keys=False,
                pad_event_to=18,
                # The default shows local variables too, and among them are passwords.
                exception_formatter=structlog.dev.plain_traceback,
            ),
        ]
    else:

        def add_service(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
            event["service"] = service
            return event

        rendering = [
            add_service,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.EventRenamer("event"),
            structlog.processors.JSONRenderer(),
        ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    _leave_out_what_no_line_shows()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.getLogger("asyncio").setLevel(logging.WARNING)


def _leave_out_what_no_line_shows() -> None:
    """Spares each line a look at its caller, thread, process and task: a third of what a line costs, measured.

    The switches are those of the "Optimization" section of Python's logging HOWTO.
    """
    logging._srcfile = None  # noqa: SLF001 - documented there under this name
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False


def about(**pairs: str) -> AbstractContextManager[None]:
    """Adds pairs to everything that is logged inside the block, and in the tasks that are begun there."""
    return structlog.contextvars.bound_contextvars(**pairs)


def get(name: str) -> structlog.stdlib.BoundLogger:
    """Returns the logger of a module; events are dotted lower-case names with key-value pairs."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger
