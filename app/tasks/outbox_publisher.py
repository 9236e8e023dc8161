"""Publishes events in their order, by one process at a time.

A transaction removes the oldest events, publishes them and is committed. If
it dies before its end, the next one publishes the same events again
and Redis knows them (`storage/pubsub.py`); so each is pushed once. While
Redis is away events wait in their table, and no request waits for them; not
more than are remembered anyway, though: who could not be caught up with them
is told to read anew, as with any other gap.
"""

import asyncio
from collections.abc import Sequence
from typing import NoReturn

import structlog

from app.constants import (
    DB_RETRY_DELAY_SECONDS,
    PUSH_BATCH_SIZE,
    PUSH_POLL_SECONDS,
)
from app.exceptions import AppError, Unavailable
from app.managers.push_hub import PushHub
from app.storage.db import Database
from app.storage.outbox import Backlog, Event, bound, take
from app.storage.pubsub import PushStream
from app.utils.metrics import outbox_dropped_total, outbox_size

logger = structlog.get_logger(__name__)


class _NotPushed(Exception):
    """Redis is away, so that what was taken is to be put back."""

    def __init__(self, reason: Unavailable) -> None:
        super().__init__(reason)
        self.reason = reason


class OutboxPublisher:
    """Moves events from the database to Redis.

    Args:
        database: Where they wait.
        stream: Where they go.
        hub: Knows how far this process has come.
        max_events: How many may wait.
    """

    def __init__(
        self,
        database: Database,
        stream: PushStream,
        hub: PushHub,
        max_events: int,
    ) -> None:
        self._database = database
        self._stream = stream
        self._hub = hub
        self._max_events = max_events
        self._fails = False

    async def run(self) -> NoReturn:
        """Publish whatever is committed, until cancelled."""
        while True:
            await self._database.outbox.wait(PUSH_POLL_SECONDS)
            if self._database.ready and not await self._try():
                await asyncio.sleep(DB_RETRY_DELAY_SECONDS)

    async def close(self) -> None:
        """Publish what is left; what cannot be, another process finds."""
        if self._database.ready:
            await self._try()

    async def _try(self) -> bool:
        """Say whether all is published; log when that changes."""
        try:
            while await self._publish() == PUSH_BATCH_SIZE:
                pass
        except AppError as error:
            if not self._fails:
                logger.warning("events wait", reason=error.detail)
            self._fails = True
        else:
            self._fails = False
            outbox_size.set(0)
        return not self._fails

    async def _publish(self) -> int:
        """Publish the oldest events, and say how many.

        Raises:
            AppError: A server is away; too many events wait no more.
        """
        try:
            async with self._database.unit_of_work() as session:
                events = await take(session)
                if events:
                    await self._push(events)
                return len(events)
        except _NotPushed as failure:
            async with self._database.unit_of_work() as session:
                backlog = await bound(session, self._max_events)
            _tell(backlog)
            raise failure.reason from None

    async def _push(self, events: Sequence[Event]) -> None:
        try:
            await self._stream.publish(events, self._hub.position)
        except Unavailable as error:
            raise _NotPushed(error) from None


def _tell(backlog: Backlog) -> None:
    """Count what waits, and what was dropped."""
    outbox_size.set(backlog.waiting)
    if backlog.dropped:
        outbox_dropped_total.inc(backlog.dropped)
        logger.error("events dropped", count=backlog.dropped)
