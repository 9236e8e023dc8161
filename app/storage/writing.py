"""Statements of every write, compiled once: half of what they would cost.

Unlike those of `reading`, they always run inside the session's transaction,
because SQLAlchemy, which begins it, sends them.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import CursorResult, Executable
from sqlalchemy.ext.asyncio import AsyncSession

from app.storage.reading import Query


class Statement:
    """A statement whose parameters are all named.

    Args:
        statement: What to compile.
    """

    def __init__(self, statement: Executable) -> None:
        self._query = Query.of(statement)

    async def execute(
        self, session: AsyncSession, values: Mapping[str, Any]
    ) -> CursorResult[Any]:
        """Run it in this unit of work.

        Args:
            session: The unit of work.
            values: Those of parameters that have none of their own.
        """
        query = self._query
        given = {**query.given, **values}
        connection = await session.connection()
        return await connection.exec_driver_sql(
            query.sql, tuple(given[name] for name in query.names)
        )
