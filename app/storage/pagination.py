"""Lists in parts: numbered pages, and cursors that inserts do not shift.

Both orders are the primary key's, which is stable. A cursor is the last id
of the part before it, encoded so that nobody computes with it.
"""

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

from sqlalchemy import Column, Select, func, inspect, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql.base import ExecutableOption

from app.constants import MAX_ID
from app.exceptions import InvalidInput
from app.models.base import BaseModel
from app.schemas.page import CursorMetadata, MetadataModel

M = TypeVar("M", bound=BaseModel)
Filters: TypeAlias = Mapping[str, Any]
ApplyFilters: TypeAlias = Callable[[Select[Any], Filters], Select[Any]]


async def get_paginated_results(  # noqa: PLR0913  (the specification's)
    session: AsyncSession,
    model: type[M],
    page: int,
    per_page: int,
    *,
    filters: Filters | None = None,
    apply_filters: ApplyFilters | None = None,
    options: Sequence[ExecutableOption] = (),
) -> tuple[list[M], MetadataModel]:
    """Return one page of what matches, and where it stands.

    Args:
        session: The unit of work.
        model: The table.
        page: The page's number, from 1.
        per_page: Rows on a page.
        filters: Values that columns must have; None does not filter.
        apply_filters: What does the filtering instead, for filters that
            are not equality.
        options: How relationships are loaded.
    """
    matching = (apply_filters or _equal)(select(model), filters or {})
    total = await session.scalar(_count(matching)) or 0
    first = (page - 1) * per_page
    rows: list[M] = []
    if first < total:
        part = matching.options(*options).order_by(_key(model))
        found = await session.scalars(part.offset(first).limit(per_page))
        rows = list(found)
    meta = MetadataModel(
        page=page,
        per_page=per_page,
        total=total,
        pages=-(-total // per_page),
    )
    return rows, meta


async def get_cursor_results(  # noqa: PLR0913  (as its sibling)
    session: AsyncSession,
    model: type[M],
    limit: int,
    after: str | None,
    *,
    filters: Filters | None = None,
    apply_filters: ApplyFilters | None = None,
    options: Sequence[ExecutableOption] = (),
) -> tuple[list[M], CursorMetadata]:
    """Return the rows behind a cursor, and the cursor behind them.

    Args:
        session: The unit of work.
        model: The table.
        limit: Rows at most.
        after: `next` of the part before, None for the first.
        filters: As for `get_paginated_results`.
        apply_filters: As for `get_paginated_results`.
        options: As for `get_paginated_results`.

    Raises:
        InvalidInput: `after` is no cursor.
    """
    key = _key(model)
    matching = (apply_filters or _equal)(select(model), filters or {})
    if after is not None:
        matching = matching.where(key > decode_cursor(after))
    part = matching.options(*options).order_by(key).limit(limit + 1)
    rows = list(await session.scalars(part))
    more = len(rows) > limit
    del rows[limit:]
    last = getattr(rows[-1], key.name) if more else None
    return rows, CursorMetadata(limit=limit, next=last and encode_cursor(last))


def encode_cursor(last_id: int) -> str:
    """Return the cursor behind the row with this id."""
    encoded = base64.urlsafe_b64encode(str(last_id).encode())
    return encoded.decode().rstrip("=")


def decode_cursor(cursor: str) -> int:
    """Return the id that a cursor stands behind.

    Raises:
        InvalidInput: No list ever gave this cursor.
    """
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        last_id = int(base64.b64decode(padded, b"-_", validate=True))
    except (binascii.Error, ValueError):
        last_id = 0
    if not 0 < last_id <= MAX_ID or encode_cursor(last_id) != cursor:
        detail = "This is not a cursor of a list"
        raise InvalidInput(
            detail,
            errors=[{"loc": ["after"], "msg": detail, "type": "cursor"}],
        )
    return last_id


def _equal(statement: Select[Any], filters: Filters) -> Select[Any]:
    columns = inspect(statement.column_descriptions[0]["entity"]).columns
    given = {k: v for k, v in filters.items() if v is not None}
    return statement.where(*(columns[k] == v for k, v in given.items()))


def _count(matching: Select[Any]) -> Select[int]:
    return select(func.count()).select_from(matching.subquery())


def _key(model: type[BaseModel]) -> Column[Any]:
    key: Column[Any] = inspect(model).primary_key[0]
    return key
