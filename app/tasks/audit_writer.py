"""Stores the audit rows that wait, in batches, by COPY.

A row leaves the queue when it is stored, so a database that is away costs no
row while there is room; the same rows are tried again until it is back. A
batch with a row that cannot be stored is halved until that row is alone; it
is lost and counted, and all others are stored.

A connection that breaks in the very moment of a commit leaves open whether
the batch was stored; it is then stored again, because a row twice is better
than none.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, NoReturn

import asyncpg
import structlog
from msgspec.structs import astuple

from app.constants import (
    AUDIT_CLOSE_TIMEOUT_SECONDS,
    DB_CLOSE_TIMEOUT_SECONDS,
    DB_RETRY_DELAY_SECONDS,
    TASK_ERROR_BACKOFF_SECONDS,
)
from app.models.user_action import UserAction
from app.settings import Settings
from app.storage.audit import STORED, AuditQueue, AuditRow
from app.storage.engine import connect, connection_arguments
from app.storage.errors import leaves_connection_usable
from app.utils import metrics

_UNSTORABLE = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    ArithmeticError,
    AttributeError,
    TypeError,
    ValueError,
)
"""What the server or the driver says of a row; all else is an outage."""
_STEP: Final = 50
"""Rows that are encoded before everybody else has his turn: 100 us."""
_MICROSECONDS: Final = 1_000_000
_POSTGRES_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC).timestamp()

logger = structlog.get_logger(__name__)


class AuditWriter:
    """Empties the queue, over a connection of its own.

    Args:
        settings: Where the database is, and how long a row may wait.
        queue: The rows.
    """

    def __init__(self, settings: Settings, queue: AuditQueue) -> None:
        self._queue = queue
        self._pause = settings.audit_batch_timeout_seconds
        self._connect = partial(connect, **connection_arguments(settings))
        self._connection: Any = None
        self._alone = asyncio.Lock()
        self._fails = False

    async def run(self) -> NoReturn:
        """Store rows until cancelled; a batch under way is finished."""
        while True:
            await self._queue.wait(self._pause)
            metrics.audit_queue_size.set(len(self._queue))
            if self._queue and not await asyncio.shield(self._try()):
                await asyncio.sleep(TASK_ERROR_BACKOFF_SECONDS)

    async def close(self) -> None:
        """Store what is left, if the database takes it in time."""
        try:
            async with asyncio.timeout(AUDIT_CLOSE_TIMEOUT_SECONDS):
                while self._queue:
                    if not await self._try():
                        await asyncio.sleep(DB_RETRY_DELAY_SECONDS)
        except TimeoutError:
            logger.warning("audit rows not stored in time")
        if lost := len(self._queue):
            metrics.audit_dropped_total.inc(lost)
            logger.error("audit rows lost", rows=lost)
        if self._connection is not None:
            with suppress(TimeoutError, OSError, asyncpg.InterfaceError):
                await self._connection.close(timeout=DB_CLOSE_TIMEOUT_SECONDS)

    async def _try(self) -> bool:
        """Say whether the database took the rows; log when that changes."""
        try:
            async with self._alone:
                await self._flush()
        except Exception as error:  # noqa: BLE001  (the rows go on waiting)
            if not self._fails:
                logger.warning("audit rows wait", reason=repr(error))
            self._fails = True
        else:
            self._fails = False
        return not self._fails

    async def _flush(self) -> None:
        """Store what waits, until less than a batch has come meanwhile."""
        more = True
        while more:
            await self._store(self._queue.first())
            metrics.audit_queue_size.set(len(self._queue))
            more = self._queue.has_batch

    async def _store(self, rows: Sequence[AuditRow]) -> None:
        try:
            await self._copy(rows)
        except _UNSTORABLE as error:
            await self._isolate(rows, error)
        else:
            self._queue.forget(len(rows))
            for outcome, count in Counter(r.outcome for r in rows).items():
                STORED[outcome,].inc(count)

    async def _isolate(
        self, rows: Sequence[AuditRow], error: Exception
    ) -> None:
        if len(rows) == 1:
            self._queue.forget(1)
            metrics.audit_dropped_total.inc()
            logger.error("audit row lost", reason=type(error).__name__)
            return
        middle = len(rows) // 2
        await self._store(rows[:middle])
        await self._store(rows[middle:])

    async def _copy(self, rows: Sequence[AuditRow]) -> None:
        connection = await self._connected()
        try:
            await connection.copy_records_to_table(
                UserAction.__tablename__,
                records=_in_steps(rows),
                columns=AuditRow.__struct_fields__,
            )
        except _UNSTORABLE:
            raise
        except BaseException as error:
            if not leaves_connection_usable(error):
                connection.terminate()  # nobody knows what it waits for
            raise

    async def _connected(self) -> Any:
        if self._connection is None or self._connection.is_closed():
            connection = await self._connect()
            try:
                await _take_seconds(connection)
            except BaseException:
                connection.terminate()
                raise
            self._connection = connection
        return self._connection


async def _take_seconds(connection: Any) -> None:
    """Let moments be sent as what they are in a row."""
    await connection.set_type_codec(
        "timestamptz",
        schema="pg_catalog",
        encoder=_since_postgres_epoch,
        decoder=tuple,  # as the driver has it; nothing is read here
        format="tuple",
    )


def _since_postgres_epoch(at: float) -> tuple[int]:
    """Return what the driver sends for a moment: microseconds since 2000.

    It takes a `datetime` apart in 0.8 us, more than all other columns cost.
    """
    return (round((at - _POSTGRES_EPOCH) * _MICROSECONDS),)


async def _in_steps(
    rows: Sequence[AuditRow],
) -> AsyncIterator[tuple[Any, ...]]:
    """Give every row, and stall nobody's answer while they are encoded."""
    for number, row in enumerate(rows, 1):
        yield astuple(row)
        if not number % _STEP:
            await asyncio.sleep(0)
