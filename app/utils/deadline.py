"""How long one request or message may take, over either protocol.

Nearly all are done in time, so a timer for each would be set for nothing:
one waits for all of them (`utils.expiry`).
"""

import asyncio
from types import TracebackType
from typing import Self

from app.exceptions import DeadlineExceeded
from app.utils.expiry import Expiry


class Deadlines:
    """Deadlines of the same length, in one event loop.

    Args:
        seconds: How long each of them is.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.loop = asyncio.get_running_loop()
        expiry: Expiry[Deadline] = Expiry(self.loop, seconds, Deadline.end)
        self.add = expiry.add
        self.remove = expiry.remove

    def begin(self) -> "Deadline":
        """Return a block that is cancelled when its time is over."""
        return Deadline(self)


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

    def pause(self) -> None:
        """Let no time pass: what is waited for is not the block's affair."""
        self._deadlines.remove(self)

    def resume(self) -> None:
        """Let all of its time begin anew, after a pause."""
        self._deadlines.add(self)

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
