"""Many waits of the same length, for which one timer is enough.

Since all take the same time, what began first is over first: the timer waits
for it, and then for the first of what is left.
"""

import asyncio
from collections.abc import Callable
from itertools import islice
from time import monotonic
from typing import Final, Generic, TypeVar

T = TypeVar("T")

_AT_ONCE: Final = 100
"""How many may be over in one turn of the event loop."""


class Expiry(Generic[T]):
    """Things that are over the same time after they have been added.

    Args:
        loop: The event loop in which they are waited for.
        seconds: After how long.
        over: Is called with each of them, which is there no more by then.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        seconds: float,
        over: Callable[[T], object],
    ) -> None:
        self._loop = loop
        self._seconds = seconds
        self._over = over
        self._ends: dict[T, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, thing: T) -> None:
        """Let its time begin now; it is not among them yet."""
        self._ends[thing] = monotonic() + self._seconds
        if self._timer is None:
            self._wait(self._seconds)

    def remove(self, thing: T) -> None:
        """Forget it, if it is still there."""
        self._ends.pop(thing, None)

    def _wait(self, seconds: float) -> None:
        self._timer = self._loop.call_later(seconds, self._look)

    def _look(self) -> None:
        now = monotonic()
        try:
            for thing, end in list(islice(self._ends.items(), _AT_ONCE)):
                if end > now:
                    break
                if self._ends.pop(thing, None) is not None:
                    self._over(thing)
        finally:
            self._timer = None
            if self._ends:
                self._wait(max(0.0, next(iter(self._ends.values())) - now))
