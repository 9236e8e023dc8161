"""A client of Redis that counts its commands."""

from time import perf_counter
from typing import Any

from redis.asyncio import Redis

from app.utils.metrics import (
    Children,
    redis_errors_total,
    redis_operation_duration_seconds,
    redis_operations_total,
)

_operations = Children(redis_operations_total)
_durations = Children(redis_operation_duration_seconds)


class ObservedRedis(Redis):
    """Counts and times every command; their names come from our code.

    A command that is to wait for news is counted and not timed.
    """

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Send one command and return its answer."""
        labels = (str(args[0]).partition(" ")[0].lower(),)
        _operations[labels].inc()
        began = perf_counter()
        try:
            return await super().execute_command(  # type: ignore[no-untyped-call]
                *args, **options
            )
        except Exception as error:
            kind = type(error).__name__
            redis_errors_total.labels(*labels, kind).inc()
            raise
        finally:
            if b"BLOCK" not in args:
                _durations[labels].observe(perf_counter() - began)
