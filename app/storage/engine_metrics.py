"""What is counted of each statement and each attempt to connect.

A statement is timed where SQLAlchemy hands it to the driver, so the wait for
a connection is not part of it and `pool_in_use` tells of that instead.
"""

from functools import lru_cache
from time import perf_counter
from types import TracebackType
from typing import Any, Final

import asyncpg
from sqlalchemy import event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.ext.asyncio import AsyncEngine

from app.utils.metrics import (
    OTHER,
    Children,
    db_query_duration_seconds,
    db_query_errors_total,
)

CONNECT: Final = "connect"
"""The operation of an attempt to connect that failed."""

_OPERATIONS: Final = frozenset({"select", "insert", "update", "delete"})
_LETTERS: Final = 6
"""Every one of them has as many."""

_durations = Children(db_query_duration_seconds)


def observe_statements(engine: AsyncEngine) -> None:
    """Count and time every statement of an engine."""
    listen = event.listen
    listen(engine.sync_engine, "before_cursor_execute", _begin)
    listen(engine.sync_engine, "after_cursor_execute", _end)
    listen(engine.sync_engine, "handle_error", _fail)


class Observed:
    """A block in which the driver is given a statement by ourselves.

    It is counted and timed, or counted as an error.

    Args:
        statement: What is sent.
    """

    __slots__ = ("_began", "_operation")

    def __init__(self, statement: str) -> None:
        self._operation = _operation(statement)

    def __enter__(self) -> None:
        self._began = perf_counter()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            seconds = perf_counter() - self._began
            _durations[(self._operation,)].observe(seconds)
        elif isinstance(error, Exception):
            count_error(self._operation, error)


def count_error(operation: str, error: BaseException) -> None:
    """Count a failure, as the driver calls it."""
    db_query_errors_total.labels(operation, _error_type(error)).inc()


def _error_type(error: BaseException) -> str:
    """Name the class; those of the driver and of Python are a closed set."""
    known = isinstance(
        error, asyncpg.PostgresError | asyncpg.InterfaceError | OSError
    )
    return type(error).__name__ if known else OTHER


def _begin(*arguments: Any) -> None:
    context = arguments[4]
    context.gatehouse_began = perf_counter()


def _end(*arguments: Any) -> None:
    statement, context = arguments[2], arguments[4]
    seconds = perf_counter() - context.gatehouse_began
    _durations[(_operation(statement),)].observe(seconds)


def _fail(context: ExceptionContext) -> None:
    error = context.original_exception
    cause = error.__cause__ or error
    count_error(_operation(context.statement or ""), cause)


@lru_cache
def _operation(statement: str) -> str:
    word = statement[:_LETTERS].lower()
    return word if word in _OPERATIONS else OTHER
