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
from uuid import UUID, uuid4

import msgspec
from sqlalchemy import (
    Delete,
    Select,
    any_,
    bindparam,
    delete,
    func,
    insert,
    select,
)
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from app.constants import PUSH_BATCH_SIZE, PUSH_LOCK
from app.models.outbox import OutboxEvent
from app.schemas.push import PushBody
from app.storage.writing import Statement

_ANNOUNCED: Final = "outbox.announced"

_TABLE: Final[Any] = OutboxEvent.__table__  # type: ignore[attr-defined]  # SQLModel's types
_ID: Final = _TABLE.columns.id
_INSERT: Final = Statement(
    insert(_TABLE)
    .values(key=bindparam("key"), body=bindparam("body"))
    .inline()
)
_IN_ORDER: Final = select(_ID).order_by(_ID).with_for_update()
"""Locks from the oldest on: so nobody is given newer events while another has
older ones, and nobody waits for whom he holds up."""


def _delete(ids: Select[tuple[int]]) -> Delete:
    # An array is made once; a semi-join may lock again and again.
    return delete(_TABLE).where(any_(func.array(ids.scalar_subquery())) == _ID)


_TAKE: Final = Statement(
    _delete(_IN_ORDER.limit(PUSH_BATCH_SIZE)).returning(
        _ID, _TABLE.columns.key, _TABLE.columns.body
    )
)
_GAP: Final = b""
_IS_EVENT: Final = _TABLE.columns.body != _GAP


class Event(NamedTuple):
    """Something to push; its fields are those of `OutboxEvent`."""

    id: int
    key: UUID
    body: bytes


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
    await _INSERT.execute(session, {"key": uuid4(), "body": body})
    session.info[_ANNOUNCED] = True


async def take(session: AsyncSession) -> Sequence[Event]:
    """Remove the oldest events, and return them in their order.

    Nobody else is given any until the end of the transaction; if it is undone
    they are there again.
    """
    return sorted(map(Event._make, await _TAKE.execute(session, {})))


async def bound(session: AsyncSession, most: int) -> Backlog:
    """Drop all that waits if it is too much, and leave a gap in its place.

    A gap has to be told of by reading everything anew, so there is no use in
    keeping a part.

    Args:
        session: The unit of work.
        most: How many events may wait.
    """
    await session.execute(select(func.pg_advisory_xact_lock(PUSH_LOCK)))
    count = select(func.count()).select_from(_TABLE).where(_IS_EVENT)
    waiting = await session.scalar(count) or 0
    if waiting <= most:
        return Backlog(waiting, 0)
    dropped = await session.scalars(_delete(_IN_ORDER).returning(_IS_EVENT))
    await _INSERT.execute(session, {"key": uuid4(), "body": _GAP})
    return Backlog(0, sum(dropped))
