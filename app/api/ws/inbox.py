"""The messages of one socket, answered several at a time.

Each is answered by a task of its own. When as many run as may, the client is
read from no more, so that TCP slows it down; what it had sent by then waits
here and goes to the first task that is done.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from app.managers.outlet import Wire

Text: TypeAlias = str | None
"""A message; None is a binary frame."""


class Inbox:
    """Takes messages in, and has each answered once.

    Args:
        answer: Answers one message; it does not raise.
        most: How many are answered at a time.
        wire: The socket's connection.
    """

    __slots__ = (
        "_answer",
        "_changed",
        "_count",
        "_loop",
        "_most",
        "_tasks",
        "_waiting",
        "_wire",
    )

    def __init__(
        self,
        answer: Callable[[Text], Awaitable[None]],
        most: int,
        wire: Wire,
    ) -> None:
        self._answer = answer
        self._loop = asyncio.get_running_loop()
        self._most = most
        self._wire = wire
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._count = 0
        self._waiting: deque[Text] | None = None
        self._changed: asyncio.Event | None = None

    def take(self, text: Text) -> None:
        """Have a message answered, as soon as that may be."""
        if len(self._tasks) < self._most:
            self._count += 1
            run = self._run(text, self._count)
            self._tasks[self._count] = self._loop.create_task(run)
            return
        if self._waiting is None:
            self._waiting = deque()
            self._wire.pause_reading()
        self._waiting.append(text)

    def drop(self) -> None:
        """Forget the messages whose turn has not come.

        The client is read from again: a close has to be heard.
        """
        if self._waiting is not None:
            self._waiting = None
            self._wire.resume_reading()

    def release(self) -> None:
        """Let go of who answers, who holds this: nothing more is taken."""
        del self._answer

    async def has_room(self) -> None:
        """Wait until another message can be taken."""
        await self._until(lambda: self._waiting is None)

    async def settled(self) -> None:
        """Wait until every message that was begun is answered."""
        await self._until(lambda: not self._tasks)

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._changed = self._changed or asyncio.Event()
            self._changed.clear()
            await self._changed.wait()

    async def _run(self, text: Text, number: int) -> None:
        try:
            await self._answer(text)
            while self._waiting:
                await self._answer(self._next(self._waiting))
        finally:
            del self._tasks[number]
            if self._changed is not None:
                self._changed.set()

    def _next(self, waiting: deque[Text]) -> Text:
        """Return what has waited longest; read on after the last."""
        text = waiting.popleft()
        if not waiting:
            self._waiting = None
            self._wire.resume_reading()
        return text
