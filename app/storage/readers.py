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
from functools import partial
from typing import Any, Final, TypeAlias, TypeVar

import asyncpg

from app.exceptions import Unavailable
from app.storage.engine_metrics import Observed
from app.storage.errors import is_lost_connection, leaves_connection_usable
from app.storage.reader import Reader, Record
from app.storage.sharing import Sharing

T = TypeVar("T")

Connect: TypeAlias = Callable[[], Awaitable[Any]]
"""Opens a connection of asyncpg, which has no types."""

Make: TypeAlias = Callable[[list[Record]], T]
"""Makes something of the rows that were found."""

_CLOSED: Final = None
_Waiter: TypeAlias = asyncio.Future[Reader | None]


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
        self._idle: list[Reader] = []
        self._sharing = Sharing()
        self._waiters: deque[tuple[float, _Waiter]] = deque()
        self._shedder: asyncio.TimerHandle | None = None
        self._closing = False
        self.open = 0

    @property
    def in_use(self) -> int:
        """How many connections are reading."""
        return self.open - len(self._idle)

    async def fetch(
        self, sql: str, arguments: Sequence[Any], make: Make[T]
    ) -> T:
        """Return what is made of the rows of one statement that only reads.

        It may be others' as well, and is not to be changed.

        Args:
            sql: The statement.
            arguments: Its arguments.
            make: Is equal for those who are to get the same.

        Raises:
            Unavailable: The database cannot be reached, or every connection
                was busy for too long.
        """
        asked = (sql, tuple(arguments), make)
        return await self._sharing.share(asked, partial(self._read, *asked))

    async def close(self) -> None:
        """Close the connections, those in use when they are done."""
        self._closing = True
        idle, self._idle = self._idle, []
        self.open -= len(idle)
        for reader in idle:
            with suppress(OSError, asyncpg.InterfaceError):
                await reader.connection.close()

    async def _read(
        self,
        sql: str,
        arguments: Sequence[Any],
        make: Make[T],
        send: Callable[[], None],
    ) -> T:
        try:
            found = await self._fetch(sql, arguments, send)
        except Exception as error:
            if not is_lost_connection(error):
                raise
            self._let_go_of_idle()
            found = await self._fetch(sql, arguments, send)
        return make(found)

    async def _fetch(
        self, sql: str, arguments: Sequence[Any], send: Callable[[], None]
    ) -> list[Record]:
        reader = await self._take()
        send()
        try:
            with Observed(sql):
                rows = await reader.fetch(sql, arguments)
        except BaseException as error:
            if not leaves_connection_usable(error):
                reader.connection.terminate()  # who knows what it waits for
            self._give(reader)
            raise
        self._give(reader)
        return rows

    async def _take(self) -> Reader:
        while True:
            reader = self._idle.pop() if self._idle else _CLOSED
            if reader is _CLOSED and self.open < self._size:
                return await self._open()
            if reader is _CLOSED:
                reader = await self._wait()
            if reader is not _CLOSED and not reader.connection.is_closed():
                return reader
            self.open -= reader is not _CLOSED

    async def _open(self) -> Reader:
        self.open += 1
        try:
            return Reader(await self._connect())
        except BaseException:
            self._forget()
            raise

    async def _wait(self) -> Reader | None:
        """Wait for a reader that another read gives back, or its place."""
        loop = asyncio.get_running_loop()
        waiter: _Waiter = loop.create_future()
        self._waiters.append((loop.time() + self._timeout_seconds, waiter))
        if self._shedder is None:
            self._shed_at(loop, self._waiters[0][0])
        try:
            return await waiter
        except asyncio.CancelledError:
            if not waiter.cancelled() and waiter.exception() is None:
                self._pass_on(waiter.result())  # its turn had come
            raise

    def _shed_at(self, loop: asyncio.AbstractEventLoop, when: float) -> None:
        self._shedder = loop.call_at(when, self._shed, loop)

    def _shed(self, loop: asyncio.AbstractEventLoop) -> None:
        """Refuse who has waited for too long; who came first is first.

        All wait equally long, so one timer is enough for them.
        """
        self._shedder = None
        while self._waiters:
            end, waiter = self._waiters[0]
            if end > loop.time():
                self._shed_at(loop, end)
                return
            self._waiters.popleft()
            if not waiter.done():
                waiter.set_exception(Unavailable("The database is busy"))

    def _give(self, reader: Reader) -> None:
        if reader.connection.is_closed():
            self._forget()
        elif self._closing:
            reader.connection.terminate()
            self._forget()
        else:
            self._pass_on(reader)

    def _forget(self) -> None:
        self.open -= 1
        self._pass_on(_CLOSED)

    def _pass_on(self, reader: Reader | None) -> None:
        """Give whoever has waited longest a reader, or a place for one."""
        while self._waiters:
            _, waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(reader)
                return
        if reader is not _CLOSED:
            self._idle.append(reader)

    def _let_go_of_idle(self) -> None:
        idle, self._idle = self._idle, []
        self.open -= len(idle)
        for reader in idle:
            reader.connection.terminate()
