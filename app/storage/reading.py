"""Rows without the ORM: what is read most costs a tenth of what it would.

SQLAlchemy still writes the SQL and lends the connection, so that there is
one pool with one set of deadlines; the driver does the rest. A query runs in
the session's transaction where there is one, and sees what that has written.
Without one it is a transaction by itself, which saves two round trips.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from sqlalchemy import Executable
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.pool import PoolProxiedConnection
from sqlalchemy.util import greenlet_spawn

from app.storage.engine_metrics import observed
from app.storage.errors import leaves_connection_usable

Record: TypeAlias = Sequence[Any]

_DIALECT = PGDialect_asyncpg()  # type: ignore[no-untyped-call]  # SQLAlchemy's


@dataclass(frozen=True)
class Query:
    """A statement in the driver's words.

    `names` are its parameters in their order; `given` has the values of
    those that were in the statement.
    """

    sql: str
    names: tuple[str, ...]
    given: Mapping[str, Any]

    @classmethod
    def of(cls, statement: Executable) -> "Query":
        """Compile a statement."""
        compiled = statement.compile(dialect=_DIALECT)  # type: ignore[attr-defined]  # every one that can be executed has it
        names = tuple(compiled.positiontup or ())
        return cls(str(compiled), names, compiled.params)

    async def fetch(
        self, session: AsyncSession, values: Mapping[str, Any]
    ) -> list[Record]:
        """Return the rows.

        Args:
            session: The unit of work.
            values: Those of the parameters that `given` does not have.
        """
        arguments = [
            values[name] if name in values else self.given[name]
            for name in self.names
        ]
        if session.in_transaction():
            return await self._fetch_inside(session, arguments)
        return await self._fetch_alone(session, arguments)

    async def _fetch_inside(
        self, session: AsyncSession, arguments: list[Any]
    ) -> list[Record]:
        connection = await session.connection()
        lent = await connection.get_raw_connection()
        return await self._ask(lent, arguments)

    async def _fetch_alone(
        self, session: AsyncSession, arguments: list[Any]
    ) -> list[Record]:
        engine: Any = session.sync_session.bind  # and not what wraps it
        lent: PoolProxiedConnection = await greenlet_spawn(
            engine.raw_connection
        )
        try:
            rows = await self._ask(lent, arguments)
        except BaseException as error:
            if not leaves_connection_usable(error):
                lent.invalidate()  # nobody knows what it still waits for
            lent.close()
            raise
        lent.close()
        return rows

    async def _ask(
        self, lent: PoolProxiedConnection, arguments: list[Any]
    ) -> list[Record]:
        driver: Any = lent.driver_connection
        with observed(self.sql):
            return await driver.fetch(self.sql, *arguments)  # type: ignore[no-any-return]  # asyncpg has no types
