"""Ways to a server that see what is asked there."""

import asyncio
import re
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from app.dev.config import LOOPBACK

_CHUNK_BYTES: Final = 64 * 1024
_CERTS: Final = b"/protocol/openid-connect/certs "
_COMMAND: Final = re.compile(rb"(?:\A|\r\n)\*\d+\r\n\$")


class Proxy(ABC):
    """Passes on connections to one server, and counts what is asked there.

    Args:
        host: The server's.
        port: The server's.
    """

    def __init__(self, host: str, port: int) -> None:
        self.asked = 0
        self.port = 0
        self._host, self._port = host, port
        self._tasks: set[asyncio.Task[None]] = set()

    @abstractmethod
    def see(self, data: bytes) -> bytes | None:
        """Count what a client sends; return what it is answered from here.

        What is answered from here is not passed on.
        """

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Listen until the block is left."""
        server = await asyncio.start_server(self._connect, LOOPBACK, 0)
        self.port = server.sockets[0].getsockname()[1]
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
                self._ask(reader, there[1], writer),
                self._answer(there[0], writer),
            )
        except (OSError, asyncio.CancelledError):
            pass  # it ends; who asked finds the connection closed
        finally:
            writer.close()

    async def _ask(
        self,
        reader: asyncio.StreamReader,
        there: asyncio.StreamWriter,
        back: asyncio.StreamWriter,
    ) -> None:
        try:
            while data := await reader.read(_CHUNK_BYTES):
                answer = self.see(data)
                writer = there if answer is None else back
                writer.write(data if answer is None else answer)
                await writer.drain()
        finally:
            there.close()

    @staticmethod
    async def _answer(
        there: asyncio.StreamReader, back: asyncio.StreamWriter
    ) -> None:
        try:
            while data := await there.read(_CHUNK_BYTES):
                back.write(data)
                await back.drain()
        finally:
            back.close()


class KeycloakProxy(Proxy):
    """The way to Keycloak, whose keys are published with others.

    `asked` counts what is asked for somebody's token: keys, or what Keycloak
    says of it. What a service asks in the background, whether or not there
    are requests, is left out. Keycloak speaks plain `http`.

    Args:
        host: Keycloak's.
        port: Keycloak's.
        published: The set of keys that is told instead of Keycloak's own.
    """

    def __init__(self, host: str, port: int, published: bytes) -> None:
        super().__init__(host, port)
        head = (
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
            f"content-length: {len(published)}\r\n\r\n"
        )
        self._keys = head.encode() + published

    @property
    def url(self) -> str:
        """Where Keycloak is found behind this."""
        return f"http://{LOOPBACK}:{self.port}"

    def see(self, data: bytes) -> bytes | None:
        """Answer who asks for the keys, which is all that he asks."""
        asked = data.count(b"/protocol/openid-connect/")
        self.asked += asked - data.count(b"/protocol/openid-connect/token ")
        return self._keys if _CERTS in data else None


class RedisProxy(Proxy):
    """The way to Redis; `asked` counts commands, a script being one."""

    def see(self, data: bytes) -> None:
        """Count the commands that begin here."""
        self.asked += len(_COMMAND.findall(data))
