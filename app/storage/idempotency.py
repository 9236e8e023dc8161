"""Writes that a client may repeat: done once, answered the same each time.

Who does a write first claims its key, in the write's own transaction, and
leaves the answer under it. Whoever comes with the same key meanwhile waits
in `INSERT` for the end of that transaction: after a commit he is given its
answer, after a rollback (an error, or a process that was killed) the key is
his. This holds across processes, because PostgreSQL alone decides.
"""

from typing import Any, Final

import msgspec
from sqlalchemy import (
    Interval,
    bindparam,
    cast,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.constants import IDEMPOTENCY_LIFETIME
from app.exceptions import KeyReused
from app.models.remembered_answer import RememberedAnswer
from app.storage.writing import Statement
from app.types import Protocol

_TABLE: Final[Any] = RememberedAnswer.__table__  # type: ignore[attr-defined]  # SQLModel's types
_COLUMNS: Final = _TABLE.columns
EXPIRED: Final = _COLUMNS.created_at < func.now() - cast(
    IDEMPOTENCY_LIFETIME, Interval
)
"""Answers that nobody is given any more."""

_MINE: Final = (
    _COLUMNS.user_id == bindparam("user_id"),
    _COLUMNS.protocol == bindparam("protocol"),
    _COLUMNS.key == bindparam("key"),
)
_NEW: Final = insert(_TABLE).values(
    {
        name: bindparam(name)
        for name in ("user_id", "protocol", "key", "digest")
    }
)
_CLAIM: Final = Statement(
    _NEW.on_conflict_do_update(
        index_elements=_TABLE.primary_key.columns,
        set_={
            "digest": _NEW.excluded.digest,
            "created_at": func.now(),
            "answer": None,
        },
        where=or_(EXPIRED, _COLUMNS.answer.is_(None)),
    ).returning(_COLUMNS.key)
)
_RECALL: Final = Statement(
    select(_COLUMNS.digest, _COLUMNS.answer).where(*_MINE)
)
_REMEMBER: Final = Statement(
    update(_TABLE).where(*_MINE).values(answer=bindparam("encoded"))
)


class Answer(msgspec.Struct, frozen=True):
    """An answer as its client got it.

    `status` is HTTP's, or an `RSPCode`; the socket has no headers.
    """

    status: int
    body: bytes
    headers: list[tuple[bytes, bytes]] = []


class WriteKey(msgspec.Struct, frozen=True):
    """The name that a user gave his write, and the digest of the write."""

    user_id: str
    protocol: Protocol
    key: str
    digest: bytes


async def claim(session: AsyncSession, key: WriteKey) -> Answer | None:
    """Take a key, or return the answer that is remembered under it.

    Raises:
        KeyReused: It is the key of another write.
    """
    values = msgspec.structs.asdict(key)
    while (await _CLAIM.execute(session, values)).first() is None:
        row = (await _RECALL.execute(session, values)).one_or_none()
        if row is not None:
            if row.digest != key.digest:
                raise KeyReused
            return msgspec.msgpack.decode(row.answer, type=Answer)
    return None


async def remember(
    session: AsyncSession, key: WriteKey, answer: Answer
) -> None:
    """Leave the answer under a key that was claimed."""
    values = msgspec.structs.asdict(key)
    values["encoded"] = msgspec.msgpack.encode(answer)
    await _REMEMBER.execute(session, values)
