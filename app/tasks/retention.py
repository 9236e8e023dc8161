"""Removes what is too old, in small steps, by one process at a time.

Each step is a transaction of its own that holds an advisory lock; a process
that does not get the lock leaves the work to the one that has it.
"""

import asyncio
from datetime import timedelta
from typing import Any, Final, NoReturn

import structlog
from sqlalchemy import Delete, Interval, cast, delete, func, select, tuple_

from app.constants import (
    RETENTION_BATCH_SIZE,
    RETENTION_INTERVAL_SECONDS,
    RETENTION_LOCK,
)
from app.exceptions import AppError
from app.models.remembered_answer import RememberedAnswer
from app.models.user_action import UserAction
from app.storage.db import Database
from app.storage.idempotency import EXPIRED

_LOCKED: Final = select(func.pg_try_advisory_xact_lock(RETENTION_LOCK))

logger = structlog.get_logger(__name__)


class Retention:
    """Removes old audit rows and remembered answers.

    Args:
        database: Where they are.
        audit_days: Age at which audit rows are removed.
        batch_size: Rows removed in one transaction.
    """

    def __init__(
        self,
        database: Database,
        audit_days: int,
        batch_size: int = RETENTION_BATCH_SIZE,
    ) -> None:
        self._database = database
        self._batch_size = batch_size
        age = cast(timedelta(days=audit_days), Interval)
        actions: Any = UserAction.__table__  # type: ignore[attr-defined]  # SQLModel's types
        answers: Any = RememberedAnswer.__table__  # type: ignore[attr-defined]  # same
        self._steps = (
            self._step(actions, actions.columns.at < func.now() - age),
            self._step(answers, EXPIRED),
        )

    async def run(self) -> NoReturn:
        """Remove what is old, now and then, until cancelled."""
        while True:
            try:
                await self.sweep()
            except AppError as error:
                logger.warning("nothing old removed", reason=error.detail)
            await asyncio.sleep(RETENTION_INTERVAL_SECONDS)

    async def sweep(self) -> int:
        """Remove everything that is old now, and say how many rows it was.

        Raises:
            AppError: The database is away, busy or too slow.
        """
        removed = 0
        for step in self._steps:
            while count := await self._run(step):
                removed += count
        return removed

    async def _run(self, step: Delete) -> int:
        async with self._database.unit_of_work() as session:
            if not await session.scalar(_LOCKED):
                return 0
            result: Any = await session.execute(step)
            return int(result.rowcount)

    def _step(self, table: Any, is_old: Any) -> Delete:
        key = table.primary_key.columns
        some = select(*key).where(is_old).limit(self._batch_size)
        # Old still, if somebody has renewed it while this waited for him.
        return delete(table).where(tuple_(*key).in_(some), is_old)
