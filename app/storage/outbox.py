"""Events on their way out, from the transaction that makes them to Redis.

An event is a row, written in the transaction of the change it tells of: there
is no change without its event and no event of a change that was undone,
whenever a process dies. What is committed wakes the publisher of its process
(`tasks/outbox_publisher.py`); those of the others look now and then.

What cannot be published for long does not grow without end: beyond a bound
all that waits is dropped, and a row without a body takes its place, so that
clients are told of the gap whenever Redis is back.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

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
_GAP: Final = b""
_IS_EVENT: Final = col(OutboxEvent.body) != _GAP


class Backlog(NamedTuple):
    """How many events wait, and how many were dropped just now."""

    waiting: int
    dropped: int


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


async def bound(session: AsyncSession, most: int) -> Backlog:
    """Drop all that waits if it is too much, and leave a gap in its place.

    A gap has to be told of by reading everything anew, so there is no use in
    keeping a part. The caller is the one who was given the oldest.

    Args:
        session: The unit of work.
        most: How many events may wait.
    """
    count = select(func.count()).select_from(OutboxEvent).where(_IS_EVENT)
    waiting = await session.scalar(count) or 0
    if waiting <= most:
        return Backlog(waiting, 0)
    await session.execute(delete(OutboxEvent).where(~_IS_EVENT))
    dropped: Any = await session.execute(delete(OutboxEvent))
    await session.execute(insert(OutboxEvent).values(body=_GAP))
    return Backlog(0, dropped.rowcount)
