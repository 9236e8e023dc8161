"""One transaction, which begins when it is first needed.

It is SQLAlchemy's session in everything but its beginning: what never asks
for the database never makes one, and what only reads lists does without (see
`reading`). It is committed when its block ends, or rolled back when that
raises.

Here errors from below become facts: above, a database that is away is
`Unavailable` like any other server.
"""

import asyncio
from contextlib import nullcontext, suppress
from functools import cached_property
from types import TracebackType
from typing import Any, Self

from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from app.exceptions import AppError
from app.storage.errors import facts, translate
from app.storage.readers import Readers


class UnitOfWork(AsyncSession):
    """A session whose block is its transaction.

    Args:
        readers: Connections for what is read outside of a transaction.
        options: SQLAlchemy's, for the session that is made when needed.

    Raises:
        AppError: At the block's end: the database is away, busy or too slow,
            or refuses what was given to it.
    """

    def __init__(self, readers: Readers, options: dict[str, Any]) -> None:
        self.readers = readers
        self._options = options

    @cached_property
    def sync_session(self) -> Session:  # type: ignore[override]  # made late
        """SQLAlchemy's own session."""
        super().__init__(**self._options)
        made: Session = vars(self)["sync_session"]
        return made

    @cached_property
    def _proxied(self) -> Session:  # type: ignore[override]  # made late
        return self.sync_session

    def in_transaction(self) -> bool:
        """Say whether a transaction has begun and not ended."""
        return "sync_session" in self.__dict__ and super().in_transaction()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        ends = isinstance(error, Exception) or error is None
        if self.in_transaction():
            # What is cancelled stays so, if the rollback fails as well.
            with nullcontext() if ends else suppress(AppError), facts():
                await self._end(keep=error is None)
        fact = translate(error) if isinstance(error, Exception) else None
        if fact is not None:
            raise fact from error

    async def _end(self, *, keep: bool) -> None:
        """Commit the transaction, or roll it back."""
        try:
            if keep:
                await self.commit()
        finally:
            # A commit gives the connection back; what else has one rolls
            # back, also if it is cancelled once more meanwhile.
            if self.in_transaction():
                await asyncio.shield(self.close())
