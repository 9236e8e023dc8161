"""One connection that reads: it has each statement prepared once.

The driver would look the statement up again for each read, among other
things that only matter for statements that change.
"""

from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import asyncpg

Record: TypeAlias = Sequence[Any]

_MOST: Final = 100
"""Statements that are kept; there are far fewer, unless filters make more."""
_OUTDATED: Final = (
    asyncpg.InvalidCachedStatementError,
    asyncpg.OutdatedSchemaCacheError,
)


class Reader:
    """A connection of asyncpg, which has no types.

    Args:
        connection: Nobody else uses it.
    """

    __slots__ = ("_statements", "connection")

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self._statements: dict[str, Any] = {}

    async def fetch(self, sql: str, arguments: Sequence[Any]) -> list[Record]:
        """Return the rows of one statement that only reads."""
        statement = self._statements.get(sql) or await self._prepare(sql)
        try:
            rows: list[Record] = await statement.fetch(*arguments)
        except _OUTDATED:  # the schema has changed under it
            self._statements.clear()
            statement = await self._prepare(sql)
            rows = await statement.fetch(*arguments)
        return rows

    async def _prepare(self, sql: str) -> Any:
        if len(self._statements) >= _MOST:
            self._statements.clear()
        statement = await self.connection.prepare(sql)
        self._statements[sql] = statement
        return statement
