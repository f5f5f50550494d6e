"""Structured logs to stderr: JSON in a container, readable at a terminal.

An event's name has the form `noun.verb_past`; its values are keys of the line. `batch_id`, `message_id` and `creator`
are added where they are known.
"""

import logging
import sys
import threading
from types import TracebackType
from typing import Any, Literal

import structlog
from structlog.typing import EventDict, WrappedLogger

from worker.masks import visible, without_signatures

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def configure(level: str = "info", fmt: Literal["auto", "json", "console"] = "auto") -> None:
    """Send the log lines of structlog and of the standard library to stderr, in one form."""
    readable = fmt == "console" or (fmt == "auto" and sys.stderr.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[structlog.typing.Processor] = (
        # A plain traceback: wrapping at the terminal's width would break signatures in two, and the mask miss them.
        [_visible, _console(), lambda _logger, _method, text: without_signatures(str(text))]
        if readable
        # Within a JSON string, an escape such as \u001b means the same character: the line may be escaped as a whole.
        else [
            _tracebacks(),
            _mask,
            structlog.processors.JSONRenderer(ensure_ascii=False),
            lambda _logger, _method, line: visible(str(line)),
        ]
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("worker").setLevel(_LEVELS[level])
    logging.captureWarnings(capture=True)
    _watch_for_crashes()


def _watch_for_crashes() -> None:
    """Log uncaught exceptions in the same form: Python's own reports mask no secrets."""
    sys.excepthook = _tell_crash
    if threading.excepthook is threading.__excepthook__:  # a test runner has its own, and needs it
        threading.excepthook = lambda args: _tell_crash(args.exc_type, args.exc_value, args.exc_traceback)
    if sys.unraisablehook is sys.__unraisablehook__:
        sys.unraisablehook = lambda args: _tell_crash(args.exc_type, args.exc_value, args.exc_traceback)


def _tell_crash(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    logging.getLogger("worker").critical("process.crashed", exc_info=(kind, error or kind(), trace))


def _console() -> structlog.dev.ConsoleRenderer:
    return structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)


def _visible(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Escape control characters: values hold names and texts of strangers, which could steer the terminal."""
    return {key: visible(value) if isinstance(value, str) else value for key, value in event.items()}


def _tracebacks() -> structlog.processors.ExceptionRenderer:
    """Log exceptions as structured values, without local variables: these are long, and may be secrets."""
    return structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))


def _mask(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Mask every value, and put time, level and event first, where a reader looks for them."""
    order = [key for key in ("timestamp", "level", "event") if key in event]
    return {key: _masked(event[key]) for key in dict.fromkeys([*order, *event])}


def _masked(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, dict):
        return {without_signatures(str(key)): _masked(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_masked(inner) for inner in value]
    return without_signatures(str(value))
