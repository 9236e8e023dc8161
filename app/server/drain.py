"""How a process ends without losing what was asked of it.

    signal -> not ready, no new sockets or messages -> wait -> waves of 1012
    -> no new connections -> last answers -> uvicorn's own shutdown

**At once** `Drain.draining` is true, and everybody looks at it: `/readyz`
fails, a handshake is answered 503, a message that comes is not dispatched.
HTTP goes on, because a load balancer still sends until it has noticed; its
answers say `Connection: close`.

**Sockets** then go in waves over `DRAIN_SECONDS`, so that their clients do
not all come to the other processes in the same moment. A socket first sends
the replies to what was read before, and is closed with 1012 and the time
after which its client should come back, `retry_after_ms=N`. One that asks
for something meanwhile is not kept waiting: it goes at once, and N spreads
it over what is left of the time.

**Connections** are refused only when the last socket is gone, on the client
port; probes are answered until uvicorn shuts down. That alone would close
every socket at once and drop the replies in flight, which is why all of the
above comes before it.

**A second signal** ends the waiting: all sockets go at once, and what is in
flight has `HURRY_SECONDS`. The lifespan ends in order even then.
"""

import asyncio
import random
import time
from contextlib import suppress

import structlog

from app.constants import DRAIN_JITTER_SECONDS, DRAIN_WAVE_SECONDS
from app.managers.websocket_connection_manager import (
    WebSocketConnectionManager,
)
from app.settings import Settings

logger = structlog.get_logger(__name__)


class Drain:
    """Whether this process is ending, and how its sockets end with it.

    Args:
        settings: How long it may take.
        sockets: Those that are open.
    """

    def __init__(
        self, settings: Settings, sockets: WebSocketConnectionManager
    ) -> None:
        self.draining = False
        self.management_port = settings.management_port
        self.seconds = settings.drain_wait_seconds + settings.drain_seconds
        self._wait_seconds = settings.drain_wait_seconds
        self._waves_seconds = settings.drain_seconds
        self._sockets = sockets
        self._hurried = asyncio.Event()
        self._ends_at = 0.0

    async def run(self) -> None:
        """Take nothing new from now on, and see every socket off."""
        self.draining = True
        self._ends_at = time.monotonic() + self.seconds
        logger.info(
            "draining",
            sockets=len(self._sockets),
            users=len(self._sockets.usernames),
        )
        await self._pause(self._wait_seconds)
        await self._close_in_waves()
        await self._sockets.wait_until_empty()

    def hurry(self) -> None:
        """End every wait, those to come too."""
        self._hurried.set()

    @property
    def hurried(self) -> bool:
        """Whether there is no time left to wait."""
        return self._hurried.is_set()

    def farewell(self) -> str:
        """Tell a socket that goes before its wave when to come back."""
        remaining = max(self._ends_at - time.monotonic(), 0)
        return _retry_after(remaining + DRAIN_JITTER_SECONDS)

    async def _close_in_waves(self) -> None:
        sockets = list(self._sockets)
        random.shuffle(sockets)
        most = int(self._waves_seconds / DRAIN_WAVE_SECONDS)
        waves = min(len(sockets), max(most, 1))
        for wave in range(waves):
            if wave:
                await self._pause(self._waves_seconds / waves)
            for socket in sockets[wave::waves]:
                socket.go_away(_retry_after(DRAIN_JITTER_SECONDS))

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._hurried.wait(), seconds)


def _retry_after(within_seconds: float) -> str:
    milliseconds = random.uniform(0, within_seconds * 1000)  # noqa: S311  (no secret)
    return f"retry_after_ms={milliseconds:.0f}"
