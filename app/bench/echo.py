"""The least that a server can do, which everything else is compared with."""

from typing import Final

import asyncpg
from starlette.types import Receive, Scope, Send

_PAGE: Final = "SELECT * FROM author ORDER BY id LIMIT 20"
HEADERS = [(b"content-type", b"text/plain"), (b"content-length", b"4")]


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Send each message back; answer every request with four bytes."""
    message = await receive()
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"]})
    elif scope["type"] == "http":
        start = {"type": "http.response.start", "status": 200}
        await send({**start, "headers": HEADERS})
        await send({"type": "http.response.body", "body": b"echo"})
    else:
        await send({"type": f"{message['type']}.complete"})
        message = await receive()
        await send({"type": f"{message['type']}.complete"})


class ReadingEcho:
    """An echo that reads 20 rows before each answer, and makes nothing of it.

    Args:
        address: The database's.
        connections: Through how many it reads.
    """

    def __init__(self, address: str, connections: int) -> None:
        self._address = address
        self._connections = connections
        self._pool: asyncpg.Pool

    async def __call__(
        self, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Serve one socket; requests are an echo's."""
        if scope["type"] == "lifespan":
            self._pool = await asyncpg.create_pool(
                self._address,
                min_size=self._connections,
                max_size=self._connections,
                reset=_nothing,
            )
            async with self._pool:
                await echo(scope, receive, send)
        elif scope["type"] == "http":
            await echo(scope, receive, send)
        else:
            await receive()
            await send({"type": "websocket.accept"})
            while (message := await receive())["type"] == "websocket.receive":
                async with self._pool.acquire() as connection:
                    await connection.fetch(_PAGE)
                await send({"type": "websocket.send", "text": message["text"]})


async def _nothing(_: asyncpg.Connection) -> None:
    """Do without the round trip after each read."""
