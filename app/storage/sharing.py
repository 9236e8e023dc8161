"""Reads that ask for the same share one statement.

After a push every client reads the same list, all at once. Who asks before
the statement is sent gets its rows, too. Nobody shares what was sent before
he asked, so each sees all that was written until then, as if he were alone.

While one like it is under way, a statement waits for its end, and more come
to share it; but not for long, as that one may have lost its connection.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, Final, TypeAlias, TypeVar, cast

from app.constants import SHARING_SECONDS

T = TypeVar("T")

Asked: TypeAlias = Hashable
"""What is equal only for those who are to get the same."""
Read: TypeAlias = Callable[[Callable[[], None]], Awaitable[T]]
"""Reads; it calls what it is given before it sends the statement."""
_Sharer: TypeAlias = asyncio.Future[tuple[Any] | Exception | None]
"""Gets what was read, or what went wrong; None if he is to ask anew."""
_UnderWay: TypeAlias = tuple[float, asyncio.Future[None] | None]
"""When a statement was sent, and what is done when it is over, or when the
one that waits for it waits no longer."""
_NOBODY: Final[_UnderWay] = (float("-inf"), None)


class Sharing:
    """Knows the reads that have not been sent, and who shares them."""

    def __init__(self) -> None:
        self._unsent: dict[Asked, list[_Sharer]] = {}
        self._under_way: dict[Asked, _UnderWay] = {}

    async def share(self, asked: Asked, read: Read[T]) -> T:
        """Return what a read of our own finds, or one like it.

        It may be others' as well, and is not to be changed. A read with
        arguments that have no hash, such as a list, is nobody else's.

        Args:
            asked: What is equal for those who share.
            read: Is used by the first of them.

        Raises:
            Exception: What the read raises, for everybody who shares it.
        """
        try:
            sharers = self._unsent.get(asked)
        except TypeError:  # it has no hash
            return await read(lambda: None)
        while sharers is not None:
            sharer: _Sharer = asyncio.get_running_loop().create_future()
            sharers.append(sharer)
            outcome = await sharer
            if isinstance(outcome, Exception):
                raise outcome
            if outcome is not None:
                return cast("T", outcome[0])
            sharers = self._unsent.get(asked)
        return await self._read(asked, read)

    async def _read(self, asked: Asked, read: Read[T]) -> T:
        sharers = self._unsent[asked] = []
        outcome: tuple[T] | Exception | None = None
        loop = asyncio.get_running_loop()
        over: asyncio.Future[None] = loop.create_future()

        def send() -> None:
            self._close(asked, sharers)
            self._under_way[asked] = (loop.time(), over)

        try:
            await self._others(asked)
            found = await read(send)
            outcome = (found,)
        except Exception as error:
            outcome = error
            raise
        finally:
            self._close(asked, sharers)
            if self._under_way.get(asked, _NOBODY)[1] is over:
                del self._under_way[asked]
            _finish(over)
            for sharer in sharers:
                if not sharer.done():
                    sharer.set_result(outcome)
        return found

    def _close(self, asked: Asked, sharers: list[_Sharer]) -> None:
        """Let nobody else share this statement."""
        if self._unsent.get(asked) is sharers:
            del self._unsent[asked]

    async def _others(self, asked: Asked) -> None:
        """Wait until all have asked who are to share the statement."""
        loop = asyncio.get_running_loop()
        sent_at, over = self._under_way.get(asked, _NOBODY)
        until = sent_at + SHARING_SECONDS
        if over is None or over.done() or until <= loop.time():
            await asyncio.sleep(0)  # all of this turn
            return
        patience = loop.call_at(until, _finish, over)
        try:
            await over
        finally:
            patience.cancel()


def _finish(over: asyncio.Future[None]) -> None:
    """Say that a statement is over, or was waited for long enough."""
    if not over.done():
        over.set_result(None)
