"""How long one request or message may take, over either protocol.

Nearly all are done in time, so a timer for each would be set for nothing.
Since all have the same time, the one that began first is over first: one
timer waits for it, and then for the first of those that are left.
"""

import asyncio
from time import monotonic
from types import TracebackType
from typing import Self

from app.exceptions import DeadlineExceeded


class Deadlines:
    """Deadlines of the same length, in one event loop.

    Args:
        seconds: How long each of them is.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._running: dict[Deadline, float] = {}

    def begin(self) -> "Deadline":
        """Return a block that is cancelled when its time is over."""
        return Deadline(self)

    def add(self, deadline: "Deadline") -> None:
        """Let a deadline begin now."""
        self._running[deadline] = monotonic() + self.seconds
        if self._timer is None:
            self._wait(self.seconds)

    def remove(self, deadline: "Deadline") -> None:
        """Forget a deadline that was kept, or has ended."""
        self._running.pop(deadline, None)

    def _wait(self, seconds: float) -> None:
        self._timer = self.loop.call_later(seconds, self._look)

    def _look(self) -> None:
        self._timer = None
        while self._running:
            first, end = next(iter(self._running.items()))
            left = end - monotonic()
            if left > 0:
                self._wait(left)
                return
            del self._running[first]
            first.end()


class Deadline:
    """A block that is cancelled when its time is over.

    As `asyncio.timeout` does it; a `TimeoutError` of what runs inside is
    passed on as it is.

    Args:
        deadlines: Those that it is one of.

    Raises:
        DeadlineExceeded: At the block's end: it took longer.
    """

    __slots__ = ("_cancelling", "_deadlines", "_is_over", "_task")

    def __init__(self, deadlines: Deadlines) -> None:
        self._deadlines = deadlines
        self._is_over = False

    def __enter__(self) -> Self:
        task = asyncio.current_task(self._deadlines.loop)
        if task is None:
            raise RuntimeError("A deadline is kept inside of a task")
        self._task = task
        self._cancelling = task.cancelling()
        self._deadlines.add(self)
        return self

    def end(self) -> None:
        """Cancel the block."""
        self._is_over = True
        self._task.cancel()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._deadlines.remove(self)
        if not self._is_over:
            return
        others = self._task.uncancel() > self._cancelling
        if not others and kind is asyncio.CancelledError:
            message = f"Not done within {self._deadlines.seconds:g} seconds"
            raise DeadlineExceeded(message) from None
