"""Connections for reads that are a transaction by themselves.

Such a read needs no `BEGIN`, no rollback and nothing to be reset afterwards,
so the pool between it and the driver can be a stack: what lies on top is
warm, and taking it costs 2 us, where SQLAlchemy's pool costs 90 and asyncpg's
own 45. Its bounds are those of the other pool: so many connections, and so
long a wait for one.

A read changes nothing, so one whose connection was lost is tried once more,
on a new connection: those that were idle meanwhile have probably lost theirs
to the same restart, and are let go.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Final, TypeAlias

import asyncpg

from app.exceptions import Unavailable
from app.storage.engine_metrics import Observed
from app.storage.errors import is_lost_connection, leaves_connection_usable

Record: TypeAlias = Sequence[Any]
Connect: TypeAlias = Callable[[], Awaitable[Any]]
"""Opens a connection of asyncpg, which has no types."""

_CLOSED: Final = None


class Readers:
    """A pool of connections, each of which reads one thing at a time.

    Args:
        connect: Opens a connection.
        size: How many may be open.
        timeout_seconds: How long a read waits for one.
    """

    def __init__(
        self, connect: Connect, size: int, timeout_seconds: float
    ) -> None:
        self._connect = connect
        self._size = size
        self._timeout_seconds = timeout_seconds
        self._idle: list[Any] = []
        self._waiters: deque[asyncio.Future[Any]] = deque()
        self._closing = False
        self.open = 0

    @property
    def in_use(self) -> int:
        """How many connections are reading."""
        return self.open - len(self._idle)

    async def fetch(self, sql: str, arguments: Sequence[Any]) -> list[Record]:
        """Return the rows of one statement that only reads.

        Raises:
            Unavailable: The database cannot be reached, or every connection
                was busy for too long.
        """
        try:
            return await self._fetch(sql, arguments)
        except Exception as error:
            if not is_lost_connection(error):
                raise
        self._let_go_of_idle()
        return await self._fetch(sql, arguments)

    async def close(self) -> None:
        """Close the connections, those in use when they are done."""
        self._closing = True
        idle, self._idle = self._idle, []
        self.open -= len(idle)
        for connection in idle:
            with suppress(OSError, asyncpg.InterfaceError):
                await connection.close()

    async def _fetch(self, sql: str, arguments: Sequence[Any]) -> list[Record]:
        connection = await self._take()
        try:
            with Observed(sql):
                rows: list[Record] = await connection.fetch(sql, *arguments)
        except BaseException as error:
            if not leaves_connection_usable(error):
                connection.terminate()  # nobody knows what it waits for
            self._give(connection)
            raise
        self._give(connection)
        return rows

    async def _take(self) -> Any:
        while True:
            connection = self._idle.pop() if self._idle else _CLOSED
            if connection is _CLOSED and self.open < self._size:
                return await self._open()
            if connection is _CLOSED:
                connection = await self._wait()
            if connection is not _CLOSED and not connection.is_closed():
                return connection
            self.open -= connection is not _CLOSED

    async def _open(self) -> Any:
        self.open += 1
        try:
            return await self._connect()
        except BaseException:
            self._forget()
            raise

    async def _wait(self) -> Any:
        """Wait for a connection that another read gives back, or its place."""
        loop = asyncio.get_running_loop()
        waiter = loop.create_future()
        self._waiters.append(waiter)
        timer = loop.call_later(self._timeout_seconds, _shed, waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if not waiter.cancelled() and waiter.exception() is None:
                self._pass_on(waiter.result())  # its turn had come
            raise
        finally:
            timer.cancel()

    def _give(self, connection: Any) -> None:
        if connection.is_closed():
            self._forget()
        elif self._closing:
            connection.terminate()
            self._forget()
        else:
            self._pass_on(connection)

    def _forget(self) -> None:
        self.open -= 1
        self._pass_on(_CLOSED)

    def _pass_on(self, connection: Any) -> None:
        """Give whoever has waited longest a connection, or a place for one."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return
        if connection is not _CLOSED:
            self._idle.append(connection)

    def _let_go_of_idle(self) -> None:
        idle, self._idle = self._idle, []
        self.open -= len(idle)
        for connection in idle:
            connection.terminate()


def _shed(waiter: asyncio.Future[Any]) -> None:
    if not waiter.done():
        waiter.set_exception(Unavailable("The database is busy"))
