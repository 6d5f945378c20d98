"""The server's log: one line an event on standard error, aligned for people or JSON for programs."""

from __future__ import annotations

import logging
import sys
from typing import cast

import structlog

from magnet_service.config import LogFormat, LogLevel

__all__ = ["make_logger"]


def make_logger(level: LogLevel, form: LogFormat) -> structlog.typing.FilteringBoundLogger:
    """Makes a logger of its own; nothing global is configured.

    Arguments:
        level: least severity that is written.
        form: console or JSON lines.

    Returns:
        A logger that also writes what was bound with `structlog.contextvars` during the call in work.

    Raises:
        Nothing.
    """
    last: list[structlog.typing.Processor]
    if form is LogFormat.JSON:
        last = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        last = [
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
        ]
    logger = structlog.wrap_logger(
        structlog.PrintLogger(sys.stderr),
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            *last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.value.upper()]),
    )
    return cast("structlog.typing.FilteringBoundLogger", logger)
