"""Pushes that were delivered, for sockets that have missed some."""

import asyncio
from collections.abc import Sequence

from app.constants import PUSH_ASK_SECONDS, PUSH_ASKS_AT_ONCE
from app.exceptions import Unavailable
from app.managers.push_memory import Push, PushMemory, make_push
from app.schemas.push import Position
from app.storage.pubsub import PushStream


class PushesLost(Exception):
    """Pushes that are asked for are remembered nowhere any more."""


class PushHistory:
    """The newest pushes in this process, and those before in Redis.

    Many clients that come back at the same time are served from memory. What
    has to be asked of Redis for them takes its turn, as others need it, too.

    Args:
        stream: Where Redis remembers them.
    """

    def __init__(self, stream: PushStream) -> None:
        self._stream = stream
        self._memory = PushMemory()
        self._asking = asyncio.Semaphore(PUSH_ASKS_AT_ONCE)
        self.add = self._memory.add
        self.clear = self._memory.clear

    async def covers(self, after: Position, here: Position | None) -> bool:
        """Say whether all pushes behind a position are remembered.

        Args:
            after: The position.
            here: That of this process, which may be behind.

        Raises:
            Unavailable: Only Redis would know, and it is away.
        """
        now = await self._newest(here)
        if here is None or not after.epoch == here.epoch == now.epoch:
            return False
        if after.seq >= here.seq:
            return after.seq <= now.seq
        try:
            return bool(await self.behind(after, here))
        except PushesLost:
            return False

    async def behind(
        self, after: Position, here: Position | None
    ) -> Sequence[Push]:
        """Return the first pushes behind a position that is not the last.

        Raises:
            PushesLost: They are remembered nowhere.
            Unavailable: Only Redis would know, and it is away.
        """
        if here is None or here.epoch != after.epoch:
            raise PushesLost
        found = self._memory.after(after.seq)
        if not found:
            async with self._asking:
                read = await self._stream.read(after.seq, here.seq)
            found = [make_push(after.epoch, numbered) for numbered in read]
        if not found or found[0].seq != after.seq + 1:
            raise PushesLost
        return found

    async def _newest(self, here: Position | None) -> Position:
        try:
            async with self._asking:
                return await self._stream.publish((), here, PUSH_ASK_SECONDS)
        except Unavailable:
            if here is None:
                raise
            return here
