"""The end of every unit of work, the same over both protocols.

    claim the key -> what the client asked for -> remember the answer
    -> audit row -> commit -> send

All of it is one transaction. So there is no write without its row and no
answer that a repetition would not get again, whenever a process dies.
"""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final, TypeVar

from msgspec.structs import asdict
from sqlalchemy import bindparam, insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.exceptions import ConnectionLost
from app.models.user_action import UserAction
from app.storage.audit import STORED, Action, AuditRow, is_success
from app.storage.idempotency import Answer, WriteKey, claim, remember
from app.storage.writing import Statement

T = TypeVar("T")

_INSERT: Final = Statement(
    insert(UserAction)
    .values({name: bindparam(name) for name in AuditRow.__struct_fields__})
    .inline()
)


class Recorder:
    """Records what is done in one unit of work.

    Args:
        session: The unit of work.
        action: What is done; None for what has no user.
        key: The key under which a write is remembered, if it has one.
    """

    def __init__(
        self,
        session: AsyncSession,
        action: Action | None,
        key: WriteKey | None = None,
    ) -> None:
        self._session = session
        self._action = action
        self._key = key

    @property
    def is_due(self) -> bool:
        """Whether there is anything to complete; a read mostly has nothing."""
        writes = self._action is not None and self._action.writes
        return writes or self._session.in_transaction()

    async def recall(self) -> Answer | None:
        """Return the answer that this was given before, None if it is new.

        Raises:
            KeyReused: The key is that of another write.
        """
        if self._key is None:
            return None
        answer = await claim(self._session, self._key)
        if answer is not None and self._action is not None:
            self._action.settled = True
        return answer

    async def complete(self, answer: Answer) -> None:
        """Commit what was done, or undo it where the answer is an error.

        What ran no statement costs none here.
        """
        if not self._session.in_transaction():
            return
        if not is_success(answer.status):
            await self._session.rollback()
            return
        if self._key is not None:
            await remember(self._session, self._key, answer)
        if self._action is not None and self._action.writes:
            await self._commit_with_row(self._action, answer.status)
        else:
            await self._session.commit()

    async def _commit_with_row(self, action: Action, status: int) -> None:
        row = action.row(status)
        at = datetime.fromtimestamp(row.at, UTC)
        await _INSERT.execute(self._session, {**asdict(row), "at": at})
        await self._session.commit()
        action.settled = True
        STORED[row.outcome,].inc()


async def tried_again(action: Action, work: Callable[[], Awaitable[T]]) -> T:
    """Do a write that has a key; once more if its connection is lost.

    It is done once, however often it is tried, also if the connection was
    lost in its commit.

    Args:
        action: The write, which keeps nothing of the first attempt.
        work: Does it, in a unit of work of its own.

    Raises:
        ConnectionLost: The second one was lost as well.
    """
    resource = action.resource
    try:
        return await work()
    except ConnectionLost:
        action.resource = resource
    return await work()
