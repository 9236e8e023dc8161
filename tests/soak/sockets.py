"""A client of `/web` that notes what becomes of each of its requests."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from app.constants import PUSH_REQ_ID
from tests.soak.journal import CUT, SILENCE, Exchange, Journal
from tests.soak.stage import Stage

SILENCE_SECONDS = 30
"""More than any answer may take."""
_RETRY_AFTER = re.compile(r"retry_after_ms=(\d+)")
_FAILURES = (OSError, TimeoutError, InvalidHandshake, ConnectionClosed)

Message = dict[str, Any]


class Closed(Exception):
    """The socket has ended; the client is to come again.

    Args:
        code: Why it has.
        seconds: When to come again, if it was told.
    """

    def __init__(self, code: int | str, seconds: float | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.seconds = seconds


class NotOpened(Closed):
    """There was no socket: the handshake failed.

    Args:
        reason: What became of it.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(CUT)
        self.reason = reason


class Socket:
    """One socket.

    Args:
        who: Whose it is.
        journal: Where its requests are noted.
        connection: The socket itself.
        hear: Is given every message, in the order in which they come.
    """

    def __init__(
        self,
        who: str,
        journal: Journal,
        connection: ClientConnection,
        hear: Callable[[Message], None],
    ) -> None:
        self.closed = asyncio.Event()
        self._who = who
        self._journal = journal
        self._connection = connection
        self._hear = hear
        self._waiting: dict[str, asyncio.Future[Message]] = {}
        self._exchanges: dict[str, Exchange] = {}

    async def ask(
        self, pkg_id: int, data: Any, req_id: str | None = None
    ) -> Message:
        """Send a request and return its reply.

        Raises:
            Closed: The socket has ended before.
        """
        req_id = req_id or str(uuid4())
        exchange = Exchange(self._who, f"{pkg_id} {req_id}")
        reply = asyncio.get_running_loop().create_future()
        message = {"pkg_id": int(pkg_id), "req_id": req_id, "data": data}
        if self.closed.is_set():
            raise self.farewell()
        self._journal.exchanges.append(exchange)
        self._exchanges[req_id] = exchange
        self._waiting[req_id] = reply
        try:
            await self._connection.send(msgspec.json.encode(message).decode())
            return await asyncio.wait_for(reply, SILENCE_SECONDS)
        except TimeoutError:
            exchange.end = SILENCE
            raise Closed(SILENCE) from None
        except ConnectionClosed:
            await self.closed.wait()
            raise self.farewell() from None
        except asyncio.CancelledError:
            exchange.end = CUT  # the client leaves
            raise
        finally:
            del self._waiting[req_id]
            reply.cancel()

    def farewell(self) -> Closed:
        """Return why it has ended, and when to come again."""
        told = _RETRY_AFTER.search(self._connection.close_reason or "")
        seconds = int(told[1]) / 1000 if told else None
        return Closed(self._connection.close_code or CUT, seconds)

    async def read(self) -> None:
        """Take what comes, until the socket has ended."""
        try:
            async for text in self._connection:
                self._take(msgspec.json.decode(text))
        except ConnectionClosed:
            pass
        finally:
            self._end()

    def _take(self, message: Message) -> None:
        self._hear(message)
        req_id = message["req_id"]
        if req_id == PUSH_REQ_ID:
            return
        exchange = self._exchanges.get(req_id)
        if exchange is None:
            self._journal.strays.append(f"{self._who}: {message}")
            return
        exchange.answers += 1
        waiting = self._waiting.get(req_id)
        if waiting is not None and not waiting.done():
            waiting.set_result(message)

    def _end(self) -> None:
        ending = self.farewell()
        for req_id, reply in self._waiting.items():
            if not reply.done():
                self._exchanges[req_id].end = ending.code
                reply.set_exception(ending)
        self.closed.set()


def _ignore(_: Message) -> None:
    """Need nothing but replies."""


@asynccontextmanager
async def opened(
    who: str,
    stage: Stage,
    url: str,
    hear: Callable[[Message], None] = _ignore,
) -> AsyncIterator[Socket]:
    """Open a socket on a pod; it is closed at the end.

    Raises:
        NotOpened: The pod does not want it, or is not there.
    """
    headers = {"Authorization": f"Bearer {stage.token()}"}
    try:
        connection = await connect(
            f"ws{url.removeprefix('http')}/web",
            additional_headers=headers,
            proxy=None,
            ping_interval=None,
            compression=None,
        )
    except _FAILURES as error:
        raise NotOpened(f"{type(error).__name__}: {error}") from None
    socket = Socket(who, stage.journal, connection, hear)
    reading = asyncio.create_task(socket.read())
    try:
        yield socket
    finally:
        await connection.close()
        await reading
