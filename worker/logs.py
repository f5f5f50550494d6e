"""Structured logs to stderr: JSON in a container, readable at a terminal.

An event is `noun.verb_past` with its values as keys; `batch_id`, `message_id` and `creator` are bound where known.
"""

import logging
import re
import sys
from typing import Any, Literal

import structlog
from structlog.typing import EventDict, WrappedLogger

SECRET_QUERY = re.compile(
    r"(?i)([?&][a-z0-9_.%-]*(?:signature|sign|token|credential|secret|auth)[a-z0-9_.%-]*=)[^&\s\"'<>\x1b]+"
)
"""Query parameters of signed URLs. A link with its signature is a key to somebody's object: it stays out of logs."""

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def without_signatures(text: str) -> str:
    """Return the text with the values of signing query parameters masked."""
    return SECRET_QUERY.sub(r"\1***", text)


def configure(level: str = "info", fmt: Literal["auto", "json", "console"] = "auto") -> None:
    """Route structlog and the standard library's logging to stderr in one form."""
    readable = fmt == "console" or (fmt == "auto" and sys.stderr.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[structlog.typing.Processor] = (
        # A traceback that is wrapped at the terminal's width would hide signatures from the mask.
        [_console(), lambda _logger, _method, text: without_signatures(str(text))]
        if readable
        else [_tracebacks(), _mask, structlog.processors.JSONRenderer(ensure_ascii=False)]
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


def _console() -> structlog.dev.ConsoleRenderer:
    return structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)


def _tracebacks() -> structlog.processors.ExceptionRenderer:
    """Tell exceptions as values; without local variables, which may be secrets and are long."""
    return structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))


def _mask(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Mask every value, and put first what a reader of many lines looks for first."""
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
