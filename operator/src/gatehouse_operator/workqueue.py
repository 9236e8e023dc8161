"""A queue of things to look at, after client-go's.

A thing is in it once, however often it is added; one that is added while it
is looked at is looked at again afterwards, never twice at a time. One that
has failed comes back later, and later each time.
"""

import asyncio
import random
from collections.abc import Hashable
from typing import Final, Generic, TypeVar

_FIRST_SECONDS: Final = 0.5
_MOST_SECONDS: Final = 60.0

ItemT = TypeVar("ItemT", bound=Hashable)


class WorkQueue(Generic[ItemT]):
    """What is to be looked at."""

    def __init__(self) -> None:
        self._ready: asyncio.Queue[ItemT] = asyncio.Queue()
        self._waiting: set[ItemT] = set()
        self._busy: set[ItemT] = set()
        self._again: set[ItemT] = set()
        self._later: dict[ItemT, asyncio.TimerHandle] = {}
        self._failures: dict[ItemT, int] = {}

    def __len__(self) -> int:
        """Count what waits."""
        return len(self._waiting)

    def add(self, item: ItemT) -> None:
        """Have something looked at as soon as may be."""
        timer = self._later.pop(item, None)
        if timer is not None:
            timer.cancel()
        if item in self._busy:
            self._again.add(item)
        elif item not in self._waiting:
            self._waiting.add(item)
            self._ready.put_nowait(item)

    def add_later(self, item: ItemT, seconds: float) -> None:
        """Have something looked at then, or earlier if it is added."""
        timer = self._later.pop(item, None)
        if timer is not None:
            timer.cancel()
        loop = asyncio.get_running_loop()
        self._later[item] = loop.call_later(seconds, self.add, item)

    async def get(self) -> ItemT:
        """Wait for something to look at; `done` says that it was."""
        item = await self._ready.get()
        self._waiting.discard(item)
        self._busy.add(item)
        return item

    def done(self, item: ItemT) -> None:
        """Note that something was looked at."""
        self._busy.discard(item)
        if item in self._again:
            self._again.discard(item)
            self.add(item)

    def succeeded(self, item: ItemT) -> None:
        """Forget how often it has failed."""
        self._failures.pop(item, None)

    def failed(self, item: ItemT, at_least: float = 0) -> int:
        """Have something looked at again, later each time.

        Args:
            item: What has failed.
            at_least: The shortest time to wait, in seconds.

        Returns:
            How often it has failed in a row.
        """
        failures = self._failures[item] = self._failures.get(item, 0) + 1
        pause = min(
            _FIRST_SECONDS * 2.0 ** min(failures - 1, 10), _MOST_SECONDS
        )
        pause *= random.uniform(0.75, 1.25)  # noqa: S311
        self.add_later(item, max(pause, at_least))
        return failures

    def close(self) -> None:
        """Let nothing come back."""
        for timer in self._later.values():
            timer.cancel()
        self._later.clear()
