"""A way to Keycloak that counts who takes it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from app.dev.config import LOOPBACK

_CHUNK_BYTES = 64 * 1024


class CountingProxy:
    """Passes on connections to one server of HTTP.

    `requests` counts what was asked for somebody's token: keys, or what
    Keycloak says of it. What a service asks in the background, whether or
    not there are requests, is left out. The address must be plain `http`.

    Args:
        url: The server.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.requests = 0
        self.url = ""
        self._host, self._port = parts.hostname, parts.port or 80
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Listen until the block is left."""
        server = await asyncio.start_server(self._connect, LOOPBACK, 0)
        self.url = f"http://{LOOPBACK}:{server.sockets[0].getsockname()[1]}"
        try:
            yield
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connect(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        try:
            there = await asyncio.open_connection(self._host, self._port)
            await asyncio.gather(
                self._pass_on(reader, there[1], counted=True),
                self._pass_on(there[0], writer, counted=False),
            )
        except OSError:
            pass  # who asked finds the connection closed
        finally:
            writer.close()

    async def _pass_on(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        counted: bool,
    ) -> None:
        try:
            while data := await reader.read(_CHUNK_BYTES):
                self.requests += counted * _count(data)
                writer.write(data)
                await writer.drain()
        finally:
            writer.close()


def _count(data: bytes) -> int:
    asked = data.count(b"/protocol/openid-connect/")
    return asked - data.count(b"/protocol/openid-connect/token ")
