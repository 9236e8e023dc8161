"""Rows without the ORM: what is read most costs a tenth of what it would.

SQLAlchemy still writes the SQL; the driver does the rest. A query runs in
the session's transaction where there is one, and sees what that has written.
Without one it is a transaction by itself, on a connection of `readers`, which
saves two round trips, and is tried again if that connection was lost.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Executable
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg

from app.storage.engine_metrics import Observed
from app.storage.reader import Record
from app.storage.readers import Make
from app.storage.unit_of_work import UnitOfWork

T = TypeVar("T")

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
        self, session: UnitOfWork, values: Mapping[str, Any], make: Make[T]
    ) -> T:
        """Return what is made of the rows; others may get the same.

        Args:
            session: The unit of work.
            values: Those of the parameters that `given` does not have.
            make: Makes it; who asks for the same has an equal one.
        """
        arguments = [
            values[name] if name in values else self.given[name]
            for name in self.names
        ]
        if session.in_transaction():
            return make(await self._fetch_inside(session, arguments))
        return await session.readers.fetch(self.sql, arguments, make)

    async def _fetch_inside(
        self, session: UnitOfWork, arguments: list[Any]
    ) -> list[Record]:
        connection = await session.connection()
        lent = await connection.get_raw_connection()
        driver: Any = lent.driver_connection
        with Observed(self.sql):
            return await driver.fetch(self.sql, *arguments)  # type: ignore[no-any-return]  # asyncpg has no types
