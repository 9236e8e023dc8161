"""uvicorn's server, which ends by the steps of `app.server.drain`."""

import asyncio
import socket
import sys
import time
from contextlib import suppress
from types import FrameType
from typing import Any

import structlog
import uvicorn
from uvicorn.config import STARTUP_FAILURE

from app import constants as c
from app.server.drain import Drain
from app.server.http import HTTPProtocol

_CLOSE = (b"connection", b"close")

logger = structlog.get_logger(__name__)


class Server(uvicorn.Server):
    """A server that drains before it shuts down.

    The application gives it a `Drain`, as the `drain` of its lifespan state.
    A signal does not become the process's exit status, which is 0.

    Args:
        config: uvicorn's.
        patient: Whether the first signal leaves time to drain.
    """

    def __init__(
        self, config: uvicorn.Config, *, patient: bool = True
    ) -> None:
        super().__init__(config)
        self._hurried = not patient

    def handle_exit(
        self,
        sig: int,  # noqa: ARG002  (uvicorn's)
        frame: FrameType | None,  # noqa: ARG002  (same)
    ) -> None:
        """Begin to end at the first signal, and hurry at the second."""
        if self.should_exit:
            self.hurry()
        self.should_exit = True

    def hurry(self) -> None:
        """End, and leave little time to what is in flight."""
        self.should_exit = True
        self._hurried = True

    async def startup(
        self, sockets: list[socket.socket] | None = None
    ) -> None:
        """Start, and say where.

        Raises:
            SystemExit: Another process listens there since it was bound.
        """
        await super().startup(sockets)
        if any(s.fileno() < 0 for s in sockets or ()):
            # uvloop closes the one on which it cannot listen, and goes on.
            logger.error("another process listens on a port of this one")
            await self.lifespan.shutdown()
            sys.exit(STARTUP_FAILURE)
        addresses = [s.getsockname()[:2] for s in sockets or ()]
        logger.info("listening", addresses=addresses)

    async def main_loop(self) -> None:
        """Serve until a signal, and drain."""
        await super().main_loop()
        drain = self.lifespan.state.get("drain")
        if drain is not None:
            await self._drain(drain)

    async def _drain(self, drain: Drain) -> None:
        """Drain, and go on with what has to be done all the time."""
        work = asyncio.create_task(self._see_off(drain))
        seconds = drain.seconds + c.SHUTDOWN_TIMEOUT_SECONDS
        deadline = time.monotonic() + seconds
        tick = 0
        while not work.done() and time.monotonic() < deadline:
            if self._hurried and not drain.hurried:
                drain.hurry()
                deadline = time.monotonic() + c.HURRY_SECONDS
            await asyncio.wait({work}, timeout=c.DRAIN_TICK_SECONDS)
            await self.on_tick(tick := tick + 1)
        work.cancel()
        with suppress(asyncio.CancelledError):
            await work
        self.config.timeout_graceful_shutdown = c.HURRY_SECONDS

    async def _see_off(self, drain: Drain) -> None:
        self._announce_close()
        await drain.run()
        port = drain.management_port
        for server in self.servers:
            if server.sockets[0].getsockname()[1] != port:
                server.close()
        for connection in self._connections(port):
            if isinstance(connection, HTTPProtocol):
                connection.shutdown()
        lingering = time.monotonic() + c.LINGER_SECONDS
        while any(  # noqa: ASYNC110  (no event tells of a closed connection)
            _is_busy(connection) or time.monotonic() < lingering
            for connection in self._connections(port)
        ):
            await asyncio.sleep(c.DRAIN_TICK_SECONDS)

    def _announce_close(self) -> None:
        """Let each answer from now on be the last of its connection."""
        self.config.encoded_headers.append(_CLOSE)
        self.server_state.default_headers.append(_CLOSE)
        for connection in self._connections(None):
            if _is_busy(connection):
                connection.cycle.keep_alive = False

    def _connections(self, management_port: int | None) -> list[Any]:
        connections: list[Any] = list(self.server_state.connections)
        return [
            connection
            for connection in connections
            if management_port is None
            or connection.server[1] != management_port
        ]


def _is_busy(connection: Any) -> bool:
    return isinstance(connection, HTTPProtocol) and connection.is_busy
