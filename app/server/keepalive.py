"""Pings that find clients which are gone without a word.

uvicorn has two timers and a dozen objects for each ping of each socket. All
have the same time here, so one timer is enough (`utils.expiry`).
"""

import asyncio
from typing import Protocol
from weakref import WeakKeyDictionary

from uvicorn.server import ServerState

from app.utils.expiry import Expiry


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
        self._expiry: Expiry[Pinged] = Expiry(loop, seconds, self._ping)
        self.add = self._expiry.add
        self.remove = self._expiry.remove

    def _ping(self, socket: Pinged) -> None:
        if socket.ping():
            self._expiry.add(socket)


_of_servers: WeakKeyDictionary[ServerState, Keepalive] = WeakKeyDictionary()


def keepalive_of(
    server: ServerState, loop: asyncio.AbstractEventLoop, seconds: float
) -> Keepalive:
    """Return what pings the sockets of this server."""
    found = _of_servers.get(server)
    if found is None:
        found = _of_servers[server] = Keepalive(loop, seconds)
    return found
