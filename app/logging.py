"""Logs: one line of JSON each (or colours for a person), never a secret.

Our own lines go straight from structlog to standard output; what libraries
log comes through the standard library's root logger, gets the same form and
passes the same scrubber. A call below the level does nothing at all.

Libraries are not heard below INFO, whatever the level: what they tell their
own authors there is made of frames and headers.
"""

import json
import logging
import socket
import sys
import time
from collections.abc import Iterable
from contextvars import ContextVar
from datetime import UTC, datetime
from enum import Enum
from functools import cache, lru_cache
from typing import Any, Final, cast

import msgspec
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from app.settings import Settings
from app.utils.scrub import is_suspicious, scrub
from app.utils.tracing import current_trace

_context: ContextVar[EventDict] = ContextVar("log_context")
_NOTHING: Final[EventDict] = {}
_encoder = msgspec.json.Encoder(enc_hook=repr)
_QUIET: Final = ("httpx", "httpcore", "watchfiles", "alembic")


class Output:
    """Standard output, whatever it is at the moment."""

    def write(self, text: str) -> None:
        """Write, or keep what will be written."""
        sys.stdout.write(text)

    def flush(self) -> None:
        """Write what is kept."""
        sys.stdout.flush()


output: Final = Output()


def log_together(
    name: str, events: Iterable[EventDict], said: Iterable[str]
) -> None:
    """Log several events of the level INFO as this module's, in one piece.

    They are complete: the log context of this moment is not added.

    Args:
        name: The module's.
        events: What is logged; all get the time of this moment.
        said: All in it that others have made up, which may be a secret.
    """
    config = structlog.get_config()
    usual = _usual(name)
    if config["logger_factory"] is not LineLogger:  # we write no lines here
        for event in events:
            usual.info(**event)
        return
    if not usual.is_enabled_for(logging.INFO):
        return
    logger = _lines(name)
    # Without the first, which adds a context, and the last, which scrubs.
    _, describe, *processors, _ = config["processors"]
    about = describe(logger, "info", {})
    lines: list[Any] = [{**event, **about} for event in events]
    for process in processors:
        lines = [process(logger, "info", line) for line in lines]
    if is_suspicious("\n".join(said)):
        lines = list(map(scrub, lines))
    output.write("\n".join([*lines, ""]))
    output.flush()


@cache
def _usual(name: str) -> Any:
    """Return a module's logger, which takes long to make."""
    return structlog.get_logger(name)


class LineLogger(structlog.WriteLogger):
    """Writes lines to standard output, under the name of a module.

    Args:
        name: The module's.
    """

    def __init__(self, name: str = "app", *_: Any) -> None:
        super().__init__(cast("Any", output))
        self.name = name


@cache
def _lines(name: str) -> LineLogger:
    return LineLogger(name)


def configure_logging(settings: Settings) -> None:
    """Send every log of this process to standard output."""
    level = logging.getLevelNamesMapping()[settings.log_level]
    shared: list[Processor] = [
        _add_context,
        _Describe(settings.pod_name or socket.gethostname()),
        *([_add_trace] if settings.otel_enabled else []),
    ]
    render = _rendering(settings.log_format)
    structlog.configure(
        processors=[*shared, *render],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=LineLogger,
        cache_logger_on_first_use=True,
    )
    _hear_libraries(level, shared, render)


def begin_log_context(context: EventDict) -> None:
    """Add this to every line that the current task logs from now on.

    structlog's own context is a variable for each name, and takes ten times
    as long to set.
    """
    _context.set(context)


def log_context() -> EventDict:
    """Return what is added to the current task's lines, to read or to add."""
    context = _context.get(None)
    if context is None:
        begin_log_context(context := {})
    return context


def _add_context(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    return {**_context.get(_NOTHING), **event}


def _timestamp() -> str:
    """Return the time in UTC, to the microsecond."""
    second, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    return f"{_second(second)}.{nanoseconds // 1000:06}Z"


@lru_cache(maxsize=2)
def _second(second: int) -> str:
    """Return a time without its fraction, which takes long to write."""
    return datetime.fromtimestamp(second, UTC).isoformat()[:-6]


class _Describe:
    """Adds who says something, how urgent it is, when, and on which pod."""

    def __init__(self, pod: str) -> None:
        self._pod = pod

    def __call__(
        self, logger: WrappedLogger, level: str, event: EventDict
    ) -> EventDict:
        event["logger"] = event.get("_record", logger).name
        event["level"] = level
        event["timestamp"] = _timestamp()
        event["pod"] = self._pod
        return event


def _add_trace(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Add of which span a line is; the access log's say it themselves."""
    return {**current_trace(), **event}


def _rendering(style: str) -> list[Processor]:
    # A traceback that shows local variables would show tokens.
    if style == "json":
        return [
            structlog.processors.format_exc_info,
            _render_line,
            _scrub_line,
        ]
    console = structlog.dev.ConsoleRenderer(
        colors=sys.stdout.isatty(),
        exception_formatter=structlog.dev.plain_traceback,
    )
    return [_to_values, console, _scrub_line]


def _to_values(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Say members of enums as JSON does: a status is its number."""
    return {k: v.value if isinstance(v, Enum) else v for k, v in event.items()}


def _render_line(_: WrappedLogger, __: str, event: EventDict) -> str:
    return to_json(event)


def to_json(event: EventDict) -> str:
    """Return one line of ASCII.

    The standard library, which takes eight times as long, is left what has to
    be escaped, or has no place in JSON.
    """
    try:
        line = _encoder.encode(event)
    except (msgspec.MsgspecError, OverflowError, UnicodeEncodeError):
        line = b"\xff"
    if line.isascii():
        return line.decode("ascii")
    return json.dumps(event, default=repr, separators=(",", ":"))


def _scrub_line(_: WrappedLogger, __: str, line: EventDict | str) -> str:
    return scrub(str(line))


def _hear_libraries(
    level: int, shared: list[Processor], render: list[Processor]
) -> None:
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                *shared,
                structlog.stdlib.ExtraAdder(),
                _drop_uvicorn_colours,
            ],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *render,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(max(level, logging.INFO))
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers = []
        logger.propagate = True
        logger.setLevel(logging.NOTSET)
    logging.getLogger("uvicorn.access").disabled = True
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def _drop_uvicorn_colours(
    _: WrappedLogger, __: str, event: EventDict
) -> EventDict:
    event.pop("color_message", None)
    return event
