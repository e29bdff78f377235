"""Structured logs on standard error: first failure WARNING, repeats DEBUG, recovery INFO; never a body or a name."""

import logging
import sys
from typing import TextIO

import structlog

from shared.errors import ConfigError

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def configure(*, level: str = "info", json: bool = False, stream: TextIO = sys.stderr) -> None:
    """Set up logging for the process; `json` writes one object a line for machines.

    Raises: ConfigError when there is no such level.
    """
    threshold = _LEVELS.get(level.lower())
    if threshold is None:
        raise ConfigError("log level", f"{level!r} is not {', '.join(_LEVELS)}")
    logging.basicConfig(level=logging.WARNING, stream=stream, force=True)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer() if json else structlog.dev.ConsoleRenderer(colors=stream.isatty()),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )


def get_logger(part: str) -> structlog.typing.FilteringBoundLogger:
    """Return the logger of one part of the program."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(part=part)
    return logger


class FailureLog:
    """Logs a recurring failure once as WARNING, its repeats as DEBUG, and the recovery as INFO."""

    def __init__(self, logger: structlog.typing.FilteringBoundLogger, event: str) -> None:
        self._logger = logger
        self._event = event
        self._failures = 0

    def failed(self, problem: str) -> None:
        """Record one more failure."""
        log = self._logger.debug if self._failures else self._logger.warning
        log(self._event, problem=problem)
        self._failures += 1

    def recovered(self) -> None:
        """Record that it works (again)."""
        if self._failures:
            self._logger.info("recovered", after=self._event, failures=self._failures)
        self._failures = 0
