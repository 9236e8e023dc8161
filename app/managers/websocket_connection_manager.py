"""The open sockets of this process."""

import asyncio
from collections import Counter
from collections.abc import Iterator

from app.protocols import OpenSocket
from app.types import UserId


class WebSocketConnectionManager:
    """Knows every open socket: by itself, since a user may have several."""

    def __init__(self) -> None:
        self._sockets: set[OpenSocket] = set()
        self._empty = asyncio.Event()
        self._empty.set()

    def __iter__(self) -> Iterator[OpenSocket]:
        return iter(list(self._sockets))

    def __len__(self) -> int:
        return len(self._sockets)

    def add(self, socket: OpenSocket) -> None:
        """Take in a socket that is about to be accepted."""
        self._sockets.add(socket)
        self._empty.clear()

    def remove(self, socket: OpenSocket) -> None:
        """Forget a socket that has ended."""
        self._sockets.discard(socket)
        if not self._sockets:
            self._empty.set()

    def count_by_user(self) -> Counter[UserId]:
        """Say how many sockets each user has who is signed in."""
        users = (socket.user for socket in self._sockets)
        return Counter(user.id for user in users if user is not None)

    async def wait_until_empty(self) -> None:
        """Wait until the last socket has ended."""
        await self._empty.wait()
