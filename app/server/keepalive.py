"""Pings that find clients which are gone without a word.

uvicorn has two timers and a dozen objects for each ping of each socket. All
have the same time here, so the first that was pinged is the first to be
pinged again: one timer waits for it (see also `utils.deadline`).
"""

import asyncio
from itertools import islice
from typing import Final, Protocol
from weakref import WeakKeyDictionary

from uvicorn.server import ServerState

_AT_ONCE: Final = 100
"""How many are pinged in one turn of the event loop."""


class Pinged(Protocol):
    """A socket that is pinged."""

    def ping(self) -> bool:
        """Ping, or end where the last ping was not answered.

        Returns:
            Whether it is to be pinged again.
        """


class Keepalive:
    """Pings the sockets of one server, each every so many seconds.

    Args:
        loop: The event loop of the sockets.
        seconds: How long a client has to answer, and from one ping to the
            next.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, seconds: float
    ) -> None:
        self._loop = loop
        self._seconds = seconds
        self._due: dict[Pinged, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, socket: Pinged) -> None:
        """Ping a socket from now on."""
        self._due[socket] = self._loop.time() + self._seconds
        if self._timer is None:
            self._wait(self._seconds)

    def remove(self, socket: Pinged) -> None:
        """Ping a socket no more."""
        self._due.pop(socket, None)

    def _wait(self, seconds: float) -> None:
        self._timer = self._loop.call_later(seconds, self._look)

    def _look(self) -> None:
        self._timer = None
        now = self._loop.time()
        for socket, due in list(islice(self._due.items(), _AT_ONCE)):
            if due > now:
                break
            del self._due[socket]
            if socket.ping():
                self._due[socket] = now + self._seconds
        if self._due:
            due = next(iter(self._due.values()))
            self._wait(max(0.0, due - now))


_of_servers: WeakKeyDictionary[ServerState, Keepalive] = WeakKeyDictionary()


def keepalive_of(
    server: ServerState, loop: asyncio.AbstractEventLoop, seconds: float
) -> Keepalive:
    """Return what pings the sockets of this server."""
    found = _of_servers.get(server)
    if found is None:
        found = _of_servers[server] = Keepalive(loop, seconds)
    return found
