"""`ConnectionLimiter`: how many sockets a user has, on all pods."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterable
from itertools import islice

from app import constants as c
from app.exceptions import Unavailable
from app.utils.rate_limiter.gate import Gate, read_script

_HOLD = read_script("hold.lua")
_PREFIX = "gatehouse:sockets:"
_RENEW = -1
_LET_GO = 0

Socket = tuple[str, str]
"""A user's id and his socket's."""
Change = tuple[Socket, int]
"""A socket, and how many its user may have, `_RENEW` or `_LET_GO`."""


class ConnectionLimiter:
    """Counts sockets in Redis, as leases that end with their process.

    Scripts are sent one after the other, so that no heartbeat brings back a
    socket that has just gone.

    Args:
        gate: The way to Redis.
        limit: Sockets a user may have.
    """

    def __init__(self, gate: Gate, limit: int) -> None:
        self._gate = gate
        self._limit = limit
        self._open: defaultdict[str, set[str]] = defaultdict(set)
        self._gone: dict[Socket, float] = {}
        self._turn = asyncio.Lock()

    async def add_connection(self, user_id: str, connection_id: str) -> bool:
        """Count a socket, unless its user has as many as he may.

        Without Redis only those of this process are known.
        """
        socket = (user_id, connection_id)
        is_allowed = len(self._open[user_id]) < self._limit
        self._open[user_id].add(connection_id)
        try:
            is_allowed = await self._ask(socket)
        except Unavailable:
            if not is_allowed:
                self._forget(socket)
        except asyncio.CancelledError:
            self._forget(socket)
            raise
        else:
            if not is_allowed:  # nobody need be told: Redis has said so
                self._drop(socket)
        return is_allowed

    async def remove_connection(
        self, user_id: str, connection_id: str
    ) -> None:
        """Count a socket no more; without Redis its lease ends by itself."""
        self._forget((user_id, connection_id))
        async with self._turn:
            await self._tell_of_the_gone()

    async def run(self) -> None:
        """Renew the lease of every socket, for ever.

        So the counts are there again soon after Redis has lost them.
        """
        while True:
            await asyncio.sleep(c.WS_HEARTBEAT_SECONDS)
            await self.beat()

    async def beat(self) -> None:
        """Renew the lease of every socket once."""
        users = list(self._open)
        # Not a list of all sockets: 10,000 would stop everything for 10 ms.
        pending = ((u, s) for u in users for s in tuple(self._open.get(u, ())))
        while part := list(islice(pending, c.LIMITER_BATCH)):
            async with self._turn:
                await self._renew(part)
        async with self._turn:
            await self._tell_of_the_gone()

    async def _ask(self, socket: Socket) -> bool:
        async with self._turn:
            (held,) = await self._tell([(socket, self._limit)])
        return held == 1

    async def _renew(self, sockets: Iterable[Socket]) -> None:
        changes = [
            ((user, socket), _RENEW)
            for user, socket in sockets
            if socket in self._open.get(user, ())
        ]
        await self._try([*changes])

    async def _tell_of_the_gone(self) -> None:
        self._forget_what_has_ended()
        if not self._gate.is_open:
            return
        batch = list(islice(self._gone, c.LIMITER_BATCH))
        if await self._try([(socket, _LET_GO) for socket in batch]):
            for socket in batch:
                self._gone.pop(socket, None)

    def _forget_what_has_ended(self) -> None:
        """Forget whose lease is over; who has gone first comes first."""
        over = time.monotonic() - c.WS_LEASE_SECONDS
        while self._gone:
            first = next(iter(self._gone))
            if self._gone[first] > over:
                return
            del self._gone[first]

    async def _try(self, changes: list[Change]) -> bool:
        try:
            if changes:
                await self._tell(changes)
        except Unavailable:
            return False
        return True

    async def _tell(self, changes: list[Change]) -> list[int]:
        arguments: list[str | int] = [int(c.WS_LEASE_SECONDS * 1000)]
        for (_, socket), most in changes:
            arguments += (socket, most)
        keys = [_PREFIX + user for (user, _), _ in changes]
        held: list[int] = await self._gate.run(_HOLD, keys, arguments)
        return held

    def _forget(self, socket: Socket) -> None:
        self._drop(socket)
        self._gone.pop(socket, None)
        self._gone[socket] = time.monotonic()

    def _drop(self, socket: Socket) -> None:
        user_id, connection_id = socket
        self._open[user_id].discard(connection_id)
        if not self._open[user_id]:
            del self._open[user_id]
