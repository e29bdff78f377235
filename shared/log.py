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
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer() if json else structlog.dev.ConsoleRenderer(colors=stream.isatty())
    )
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    logging.basicConfig(level=logging.WARNING, handlers=[_libraries(stream, shared, renderer)], force=True)
    # Three lines for each connection that is refused, for days without internet: our own log says it once.
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )


def _libraries(
    stream: TextIO, shared: list[structlog.typing.Processor], renderer: structlog.typing.Processor
) -> logging.Handler:
    """Return the handler that writes what libraries log as lines like ours, their name as `part`."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[_named, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    return handler


def _named(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    return {"part": event["_record"].name, **event, "event": str(event["event"]).strip()}


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
