"""A client of Redis that counts its commands."""

from time import perf_counter
from types import TracebackType
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from app.utils.metrics import (
    Children,
    redis_errors_total,
    redis_operation_duration_seconds,
    redis_operations_total,
)

_operations = Children(redis_operations_total)
_durations = Children(redis_operation_duration_seconds)


class ObservedCommand:
    """A block in which Redis is sent a command, which is counted and timed.

    That Redis has yet to be told a script is no error: it is told.

    Args:
        name: The command's; it comes from our code.
        timed: Whether it answers at once, and does not wait for news.
    """

    __slots__ = ("_began", "_labels", "_timed")

    def __init__(self, name: str, *, timed: bool = True) -> None:
        self._labels = (name,)
        self._timed = timed

    def __enter__(self) -> None:
        _operations[self._labels].inc()
        self._began = perf_counter()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(error, Exception) and not isinstance(
            error, NoScriptError
        ):
            redis_errors_total.labels(
                *self._labels, type(error).__name__
            ).inc()
        if self._timed:
            seconds = perf_counter() - self._began
            _durations[self._labels].observe(seconds)


class ObservedRedis(Redis):
    """Counts and times every command."""

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Send one command and return its answer."""
        name = str(args[0]).partition(" ")[0].lower()
        with ObservedCommand(name, timed=b"BLOCK" not in args):
            return await super().execute_command(  # type: ignore[no-untyped-call]
                *args, **options
            )
