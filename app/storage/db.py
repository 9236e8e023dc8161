"""The database, as the rest of the service sees it: units of work.

A unit of work is one transaction. The edge opens one for each request or
message, commands and repositories work in it, and it is committed when they
have returned or rolled back when one of them has raised. It connects when it
is first used, so that what needs no database costs none.

What only reads lists does without a transaction, on connections of its own.
"""

import asyncio
from contextlib import suppress
from functools import partial
from typing import Any, cast

import structlog
from sqlalchemy import event, text
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.pool import QueuePool

from app.constants import (
    DB_CLOSE_TIMEOUT_SECONDS,
    HEALTH_CHECK_TIMEOUT_SECONDS,
)
from app.exceptions import AppError
from app.settings import DatabaseSettings
from app.storage.engine import (
    connect,
    connection_arguments,
    create_engine,
)
from app.storage.engine_metrics import observe_statements
from app.storage.errors import facts
from app.storage.outbox import OutboxSignal
from app.storage.pagination import get_cursor_results, get_paginated_results
from app.storage.readers import Readers
from app.storage.schema import Schema
from app.storage.unit_of_work import UnitOfWork
from app.storage.waiting import wait_until_nothing_is_missing

__all__ = ["Database", "get_cursor_results", "get_paginated_results"]

logger = structlog.get_logger(__name__)


class Database:
    """A pool of connections to PostgreSQL; none is made before it is used.

    `ready` says that the server has answered and had the schema; `outbox`
    is told of commits that have something to push.

    Args:
        settings: Where the database is, and its deadlines.
        schema: What the database must have before it is ready.
    """

    def __init__(
        self, settings: DatabaseSettings, schema: Schema | None = None
    ) -> None:
        self.ready = False
        self._schema = schema or Schema()
        self._engine = create_engine(settings, settings.db_pool_size)
        observe_statements(self._engine)
        # Its own connection: a pool that is busy is not a server that is away.
        self._probe = create_engine(settings, pool_size=1)
        self.outbox = OutboxSignal()
        sessions = sessionmaker(class_=Session)
        event.listen(sessions, "after_commit", self.outbox.committed)
        self._options: dict[str, Any] = {
            "bind": self._engine,
            "sync_session_class": sessions,
            "expire_on_commit": False,
            "autoflush": False,
        }
        self._readers = Readers(
            partial(connect, **connection_arguments(settings)),
            settings.db_read_pool_size,
            settings.db_pool_timeout_seconds,
        )

    def unit_of_work(self) -> UnitOfWork:
        """Return a transaction: `async with` commits it or rolls it back."""
        return UnitOfWork(self._readers, self._options)

    @property
    def connections(self) -> int:
        """How many connections are open."""
        pool = self._pool
        return pool.checkedin() + pool.checkedout() + self._readers.open

    @property
    def connections_in_use(self) -> int:
        """How many of them somebody is using."""
        return self._pool.checkedout() + self._readers.in_use

    @property
    def _pool(self) -> QueuePool:
        return cast("QueuePool", self._engine.pool)

    async def ping(self) -> None:
        """Ask the server for an answer.

        Raises:
            Unavailable: It gave none within a second.
        """
        with facts():
            async with (
                asyncio.timeout(HEALTH_CHECK_TIMEOUT_SECONDS),
                self._probe.connect() as connection,
            ):
                await connection.execute(text("SELECT 1"))

    async def wait_and_init_db(self) -> None:
        """Return when the server answers and has this version's schema."""
        await wait_until_nothing_is_missing(self._find_missing)
        self.ready = True
        logger.info("database ready")

    async def close(self) -> None:
        """Close all connections, also to a server that says nothing."""
        with suppress(TimeoutError):
            async with asyncio.timeout(DB_CLOSE_TIMEOUT_SECONDS):
                await self._readers.close()
                await self._engine.dispose()
                await self._probe.dispose()

    async def _find_missing(self) -> str | None:
        try:
            with facts():
                async with self._probe.connect() as connection:
                    return await connection.run_sync(self._schema.find_missing)
        except AppError as error:
            return error.detail
