"""Events on their way out, from the transaction that makes them to Redis.

An event is a row, written in the transaction of the change it tells of: there
is no change without its event and no event of a change that was undone,
whenever a process dies. What is committed wakes the publisher of its process
(`tasks/outbox_publisher.py`); those of the others look now and then.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

import msgspec
from sqlalchemy import delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session
from sqlmodel import col

from app.constants import PUSH_BATCH_SIZE, PUSH_LOCK
from app.models.outbox import OutboxEvent
from app.schemas.push import PushBody

_ANNOUNCED: Final = "outbox.announced"

_ANY: Final = select(OutboxEvent.id).limit(1)  # type: ignore[call-overload]  # SQLModel's types
_ALONE: Final = select(func.pg_advisory_xact_lock(PUSH_LOCK))
_OLDEST: Final = (
    select(OutboxEvent).order_by(col(OutboxEvent.id)).limit(PUSH_BATCH_SIZE)
)


class OutboxSignal:
    """Tells the publisher of this process that there is something to do."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def committed(self, session: Session) -> None:
        """Wake the publisher if this transaction has announced something."""
        if session.info.pop(_ANNOUNCED, False):
            self._event.set()

    async def wait(self, seconds: float) -> None:
        """Return when woken, or after this time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._event.wait()
        self._event.clear()


async def announce(
    session: AsyncSession,
    pkg_id: int,
    data: Any,
    users: Sequence[str] | None = None,
) -> None:
    """Push this when the transaction is committed.

    Args:
        session: The unit of work.
        pkg_id: The push's number.
        data: What it says; JSON.
        users: Names of the users whom it is for; None for all.
    """
    body = msgspec.json.encode(
        PushBody(pkg_id, msgspec.Raw(msgspec.json.encode(data)), users)
    )
    await session.execute(insert(OutboxEvent).values(body=body))
    session.info[_ANNOUNCED] = True


async def oldest(session: AsyncSession) -> Sequence[OutboxEvent]:
    """Return the next events; nobody else is given any until the end."""
    if await session.scalar(_ANY) is None:
        return ()
    await session.execute(_ALONE)
    return (await session.scalars(_OLDEST)).all()


async def forget(session: AsyncSession, events: Sequence[OutboxEvent]) -> None:
    """Remove events that have been published."""
    ids = [event.id for event in events]
    await session.execute(
        delete(OutboxEvent)
        .where(col(OutboxEvent.id).in_(ids))
        .execution_options(synchronize_session=False)
    )
