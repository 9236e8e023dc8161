"""What PostgreSQL and its driver say, as facts of `app.exceptions`.

Errors are told apart by SQLSTATE, never by their text. What is not listed
is a mistake of ours and stays as it is, to be seen as one.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import asyncpg
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from app.exceptions import (
    AppError,
    Conflict,
    ConnectionLost,
    DeadlineExceeded,
    InvalidInput,
    Unavailable,
)

Fact = Callable[[], AppError]


def _away() -> AppError:
    return ConnectionLost()


def _busy() -> AppError:
    return Unavailable("The database is busy")


def _too_slow() -> AppError:
    return DeadlineExceeded("The database took too long")


def _unusable() -> AppError:
    return InvalidInput("The database cannot store or compare such a value")


def _contradiction() -> AppError:
    return Conflict("This contradicts what is stored")


_BY_STATE: dict[str, Fact] = {
    "0A000": _busy,  # a statement prepared before a migration; next one works
    "25006": _away,  # read-only: after a failover, the former primary
    "25P03": _too_slow,  # idle in transaction
    "55P03": _too_slow,  # lock not available in time
    "57014": _too_slow,  # statement timeout
}
_BY_CLASS: dict[str, Fact] = {
    "08": _away,  # connection
    "22": _unusable,  # data
    "23": _contradiction,  # integrity
    "40": _busy,  # serialization failure, deadlock
    "53": _busy,  # too many connections, no memory, no disk
    "57": _away,  # shutdown, crash, starting up
    "58": _away,  # the server's own system error
}


def is_known(context: Mapping[str, Any]) -> bool:
    """Say whether what the event loop reports was told to whom it concerns.

    A write to a connection that has just been lost raises an error of
    uvloop's; the driver passes it on, and leaves behind a future that has
    another one, and that nobody waits for (asyncpg's `copy_in`). What a task
    of ours has ended with is news.

    Args:
        context: What the loop's exception handler is given.
    """
    if isinstance(context.get("future"), asyncio.Task):
        return False
    error = context.get("exception")
    return isinstance(error, asyncpg.ConnectionDoesNotExistError)


_DRIVER_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError)
_CLOSED = (asyncpg.InterfaceError, asyncpg.InternalClientError)
_ERRORS = (
    SQLAlchemyError,
    ConnectionError,
    TimeoutError,
    asyncpg.InternalClientError,
    *_DRIVER_ERRORS,
)


@contextmanager
def facts() -> Iterator[None]:
    """Turn errors of the database into facts, and nothing else.

    Raises:
        AppError: The database is away, busy or too slow, or refuses what
            was given to it.
    """
    try:
        yield
    except _ERRORS as error:
        fact = translate(error)
        if fact is None:
            raise
        raise fact from error


def translate(error: Exception) -> AppError | None:
    """Return the fact behind an error of the database, None if it is ours."""
    if isinstance(error, DBAPIError):
        cause = _driver_error(error)
        fact = _of_driver(cause)
        is_closed = isinstance(cause, _CLOSED)
        if fact is None and (error.connection_invalidated or is_closed):
            fact = _away
    elif isinstance(error, asyncpg.PostgresError):
        fact = _of_driver(error)
    elif isinstance(error, asyncpg.InterfaceError):
        # Of no statement: a connection that ended as soon as it was made.
        fact = _of_driver(error) or _away
    elif isinstance(error, asyncpg.InternalClientError):
        # It was told that the server goes, and waits to be cut off.
        fact = _away
    elif isinstance(error, PoolTimeoutError):
        fact = _busy
    elif isinstance(error, TimeoutError):
        fact = _too_slow
    elif isinstance(error, ConnectionError):
        fact = _away
    else:
        fact = None
    return fact and fact()


def violated_constraint(error: DBAPIError) -> str | None:
    """Return the name of the constraint that a statement ran into."""
    return getattr(_driver_error(error), "constraint_name", None)


def leaves_connection_usable(error: BaseException) -> bool:
    """Say whether a connection has nothing to wait for after this error.

    The last words of a server that goes are an error as well, told before
    the connection is found closed.
    """
    if isinstance(error, asyncpg.PostgresError):
        return not is_lost_connection(error)
    return _is_unusable_argument(error)


def is_lost_connection(error: BaseException) -> bool:
    """Say whether the server went away under a statement."""
    gone = isinstance(error, ConnectionError | asyncpg.InternalClientError)
    return gone or _of_driver(error) is _away


def _of_driver(error: BaseException | None) -> Fact | None:
    state = getattr(error, "sqlstate", None)
    if state is not None:
        return _BY_STATE.get(state) or _BY_CLASS.get(state[:2])
    return _unusable if _is_unusable_argument(error) else None


def _is_unusable_argument(error: BaseException | None) -> bool:
    """Whether asyncpg refused a value that the server never saw."""
    return isinstance(error, asyncpg.InterfaceError) and isinstance(
        error, ValueError
    )


def _driver_error(error: DBAPIError) -> BaseException | None:
    return error.orig and error.orig.__cause__
