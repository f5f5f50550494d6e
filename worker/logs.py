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
    r"(?i)([?&][a-z0-9_.%-]*(?:signature|sign|token|credential|secret|auth)[a-z0-9_.%-]*=)[^&\s\"'<>]+"
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
        [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
        if readable
        else [structlog.processors.dict_tracebacks, structlog.processors.JSONRenderer(ensure_ascii=False, default=str)]
    )
    mask: list[structlog.typing.Processor] = [_mask] if readable else [last.pop(0), _mask]
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
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *mask, *last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("worker").setLevel(_LEVELS[level])
    logging.captureWarnings(capture=True)


def _mask(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Mask every value, and put first what a reader of many lines looks for first."""
    order = [key for key in ("timestamp", "level", "event") if key in event]
    return {key: _masked(event[key]) for key in dict.fromkeys([*order, *event])}


def _masked(value: Any) -> Any:
    if isinstance(value, str):
        return without_signatures(value)
    if isinstance(value, dict):
        return {key: _masked(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(inner) for inner in value]
    return value
