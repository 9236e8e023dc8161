"""How long one request or message may take, over either protocol."""

import asyncio
from types import TracebackType
from typing import Self

from app.exceptions import DeadlineExceeded


class Deadline:
    """A block that is cancelled when its time is over.

    `asyncio.timeout` with less to it, since every request has one; a
    `TimeoutError` of what runs inside is passed on as it is.

    Args:
        seconds: How long the block may take.

    Raises:
        DeadlineExceeded: At the block's end: it took longer.
    """

    __slots__ = ("_cancelling", "_handle", "_is_over", "_seconds", "_task")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._is_over = False

    def __enter__(self) -> Self:
        loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        if task is None:
            raise RuntimeError("A deadline is kept inside of a task")
        self._task = task
        self._cancelling = task.cancelling()
        self._handle = loop.call_later(self._seconds, self._end)
        return self

    def _end(self) -> None:
        self._is_over = True
        self._task.cancel()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._handle.cancel()
        if not self._is_over:
            return
        others = self._task.uncancel() > self._cancelling
        if not others and kind is asyncio.CancelledError:
            message = f"Not done within {self._seconds:g} seconds"
            raise DeadlineExceeded(message) from None
