"""The open sockets of this process, and how all of them are gone through.

They are kept in groups: a list of 10,000 sockets takes 6 ms to make, and
nobody who has something to do for each of them should hold up the others.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator

from app.constants import SOCKETS_AT_ONCE
from app.managers.socket_group import SocketGroup
from app.protocols import OpenSocket
from app.schemas.user import UserModel


class WebSocketConnectionManager:
    """Knows every open socket: by itself, since a user may have several.

    `usernames` says how many sockets each user has who is signed in, and
    `changes` how often a socket has come, gone or got a user; `lagging` are
    those whose clients do not read all that they are sent.
    """

    def __init__(self) -> None:
        self.usernames: Counter[str] = Counter()
        self.changes = 0
        self.lagging: set[OpenSocket] = set()
        self._groups: list[SocketGroup] = []
        self._with_room: list[SocketGroup] = []
        self._group_of: dict[OpenSocket, SocketGroup] = {}
        self._empty = asyncio.Event()
        self._empty.set()

    def __iter__(self) -> Iterator[OpenSocket]:
        """All of them, as long as none comes or goes meanwhile."""
        return iter(self._group_of)

    def __len__(self) -> int:
        return len(self._group_of)

    async def in_turns(self) -> AsyncIterator[SocketGroup]:
        """Yield all of them, a few at a time, and let others run in between.

        One that is open all the while comes once.
        """
        for group in self._groups:  # more may come, and none goes
            if group:
                yield group
                await asyncio.sleep(0)

    def add(self, socket: OpenSocket) -> None:
        """Take in a socket that is about to be accepted."""
        if not self._with_room:
            group = SocketGroup()
            self._groups.append(group)
            self._with_room.append(group)
        group = self._with_room[-1]
        group.add(socket)
        if len(group) == SOCKETS_AT_ONCE:
            self._with_room.pop()
        self._group_of[socket] = group
        self.changes += 1
        self._empty.clear()

    def know(self, socket: OpenSocket, user: UserModel) -> None:
        """Take in whose a socket is, or what his next token says of him."""
        group = self._group_of.get(socket)
        if group is not None:
            self._forget_user(socket)
            self.usernames[user.username] += 1
            self.changes += 1
            group.forget()
        socket.user = user

    def note_lag(self, socket: OpenSocket) -> None:
        """Take in that a client does not read all that it is sent."""
        if socket in self._group_of:
            self.lagging.add(socket)

    def remove(self, socket: OpenSocket) -> None:
        """Forget a socket that has ended, if it was ever taken in."""
        group = self._group_of.pop(socket, None)
        if group is None:
            return
        if len(group) == SOCKETS_AT_ONCE:
            self._with_room.append(group)
        group.remove(socket)
        self.lagging.discard(socket)
        self._forget_user(socket)
        self.changes += 1
        if not self._group_of:
            self._empty.set()

    async def wait_until_empty(self) -> None:
        """Wait until the last socket has ended."""
        await self._empty.wait()

    def _forget_user(self, socket: OpenSocket) -> None:
        if socket.user is None:
            return
        name = socket.user.username
        self.usernames[name] -= 1
        if not self.usernames[name]:
            del self.usernames[name]
