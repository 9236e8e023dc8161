"""Connections to Redis that break as the client expects it.

A pool looks at a connection before it gives it out, and connects it anew if
the server has closed it meanwhile, so that nobody's command is lost with it.
The client takes only a farewell for that; here a reset is one, too.

uvloop has a word of its own, RuntimeError, for a connection that was reset
and is written to. The client takes it for a mistake and not for a server that
is away; here it becomes what every other lost connection is.

The client sends within `asyncio.wait_for`, which before Python 3.12 passes
over a task's end that comes as the command has just been sent; here the task
is ended all the same.
"""

import asyncio
from collections.abc import Iterable
from typing import Any, Final

from redis.asyncio import Connection, Redis, SSLConnection
from redis.asyncio.sentinel import (
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)
from redis.exceptions import ConnectionError as ConnectionLost

from app.utils.cancellation import cancelling


class _PlainConnection(Connection):
    """A connection without TLS."""

    async def can_read(self) -> bool:
        """Say whether there is anything to read, and be it the end."""
        was_reset = self._reader is not None and self._reader.exception()
        return bool(was_reset) or await super().can_read()

    async def send_packed_command(
        self,
        command: bytes | str | Iterable[bytes],
        check_health: bool = True,
    ) -> None:
        """Send a command.

        Raises:
            ConnectionLost: It cannot be sent.
        """
        before = cancelling()
        try:
            await super().send_packed_command(command, check_health)
        except RuntimeError as error:
            raise ConnectionLost(str(error)) from error
        if cancelling() > before:
            await self.disconnect(nowait=True)
            raise asyncio.CancelledError


class _TLSConnection(_PlainConnection, SSLConnection):
    """A connection with TLS."""


class _PrimaryConnection(_PlainConnection, SentinelManagedConnection):
    """A connection to whoever Sentinels call the primary."""


class _PrimaryTLSConnection(_PlainConnection, SentinelManagedSSLConnection):
    """The same with TLS."""


_PLAIN: Final = {
    Connection: _PlainConnection,
    SSLConnection: _TLSConnection,
    SentinelManagedConnection: _PrimaryConnection,
    SentinelManagedSSLConnection: _PrimaryTLSConnection,
}


def with_plain_errors(client: Redis) -> Redis:
    """Return the client, which has no connection yet, with such ones."""
    pool: Any = client.connection_pool
    pool.connection_class = _PLAIN[pool.connection_class]
    return client
