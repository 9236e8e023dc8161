"""What one socket has missed, sent in order before what is new."""

import asyncio
from collections.abc import Sequence

from app.exceptions import Unavailable
from app.managers.push_history import PushesLost, PushHistory
from app.managers.push_hub import PushHub, count_pushes
from app.managers.push_memory import Push
from app.protocols import OpenSocket
from app.schemas.push import Position


class Replay:
    """Sends a socket the pushes behind a position; then it is live again.

    From the moment it is made no new push overtakes the replay. It waits for
    the client, so however much was missed, little of it is here at a time.
    A client may have seen more than this process: then it is spared that,
    but only of the kinds that it names.

    Args:
        hub: Knows what is new.
        history: Remembers what was.
        socket: Who has missed some.
        pkg_ids: Which kinds.
        after: The last one of these that it has seen; it can be replayed.
    """

    def __init__(
        self,
        hub: PushHub,
        history: PushHistory,
        socket: OpenSocket,
        pkg_ids: frozenset[int],
        after: Position,
    ) -> None:
        self._hub = hub
        self._history = history
        self._socket = socket
        self._pkg_ids = pkg_ids
        self._begin = self._now
        self._at = Position(after.epoch, min(after.seq, self._begin))
        socket.outlet.hold()
        socket.outlet.note_seen(pkg_ids, after.seq)

    async def run(self) -> None:
        """Replay; where that cannot go on, tell the client of the loss."""
        outlet = self._socket.outlet
        try:
            async with outlet.turn:
                await self._catch_up()
        except (PushesLost, Unavailable):
            self._hub.tell_of_loss(self._socket)
            outlet.settle(self._now)
        finally:
            outlet.let_go()

    @property
    def _now(self) -> int:
        position = self._hub.position
        return 0 if position is None else position.seq

    async def _catch_up(self) -> None:
        outlet = self._socket.outlet
        settled = max(self._begin, outlet.seen)
        while outlet.wire.is_open and self._is_behind():
            for push in await self._behind():
                if self._is_wanted(push, settled):
                    outlet.write(push.frame)
                    count_pushes(1)
                    await outlet.wire.drain()
                self._at = Position(self._at.epoch, push.seq)
            await asyncio.sleep(0)
        outlet.settle_at_least(self._at.seq)

    async def _behind(self) -> Sequence[Push]:
        return await self._history.behind(self._at, self._hub.position)

    def _is_behind(self) -> bool:
        position = self._hub.position
        if position is None or position.epoch != self._at.epoch:
            raise PushesLost
        return self._at.seq < position.seq

    def _is_wanted(self, push: Push, settled: int) -> bool:
        """Say whether to send it: if it was missed, or is new."""
        if push.seq > settled:
            wanted = self._socket.outlet.awaits(push.seq, push.pkg_id)
        else:
            wanted = push.seq <= self._begin and push.pkg_id in self._pkg_ids
        return wanted and self._hub.is_for(push, self._socket)
