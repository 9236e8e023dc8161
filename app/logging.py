"""Logs: one line of JSON each (or colours for a person), never a secret.

Everything goes through the standard library's root logger, so that what
libraries log has the same form and passes the same scrubber.
"""

import logging
import re
import sys
from typing import Final

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from app.settings import Settings

SECRETS: Final = re.compile(
    r"(?P<name>authorization=|bearer[ .]|bearer%20|token[\"']?[=:] ?[\"']?"
    r"|password[\"']?[=:] ?[\"']?)[^\s&\"',;<>]+"
    r"|eyJ[\w-]+\.[\w-]*\.?[\w-]*",
    re.IGNORECASE,
)


def scrub(text: str) -> str:
    """Return the text without tokens and passwords."""
    return SECRETS.sub(lambda m: (m["name"] or "") + "[removed]", text)


def configure_logging(settings: Settings) -> None:
    """Send every log of this process to standard output."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_formatter(shared, settings.log_format))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.log_level)
    _quieten_libraries()


def _formatter(shared: list[Processor], style: str) -> logging.Formatter:
    # A traceback that shows local variables would show tokens.
    render: Processor = structlog.dev.ConsoleRenderer(
        colors=sys.stdout.isatty(),
        exception_formatter=structlog.dev.plain_traceback,
    )
    tracebacks: list[Processor] = []
    if style == "json":
        render = structlog.processors.JSONRenderer()
        tracebacks = [structlog.processors.format_exc_info]
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            *shared,
            structlog.stdlib.ExtraAdder(),
            _drop_uvicorn_colours,
        ],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            *tracebacks,
            render,
            _scrub_line,
        ],
    )


def _drop_uvicorn_colours(
    _: WrappedLogger, __: str, event: EventDict
) -> EventDict:
    event.pop("color_message", None)
    return event


def _scrub_line(_: WrappedLogger, __: str, line: EventDict | str) -> str:
    return scrub(str(line))


def _quieten_libraries() -> None:
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers = []
        logger.propagate = True
    logging.getLogger("uvicorn.access").disabled = True
    for name in ("httpx", "httpcore", "watchfiles", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
