"""One row, or lists in parts: numbered pages, and cursors.

What is inserted or deleted meanwhile shifts pages, but not cursors.

Both orders are the primary key's, which is stable. A cursor is the last id
of the part before it, encoded so that nobody computes with it.

Statements that only differ in their values are compiled once. Rows are structs
of columns, with a struct for each related thing: what schemas are made of.
They are made once for all who share a statement.
"""

import base64
import binascii
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any, TypeAlias

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    bindparam,
    func,
    select,
)

from app.constants import MAX_ID
from app.exceptions import InvalidField
from app.models.base import BaseModel
from app.schemas.listing import Rows
from app.schemas.page import CursorMetadata, MetadataModel
from app.storage.reader import Record
from app.storage.readers import Make
from app.storage.reading import Query
from app.storage.rows import (
    Related,
    Row,
    columns_of,
    key_of,
    read_rows,
    select_rows,
)
from app.storage.unit_of_work import UnitOfWork

Filters: TypeAlias = Mapping[str, Any]
ApplyFilters: TypeAlias = Callable[[Select[Any], Filters], Select[Any]]
Order: TypeAlias = tuple[ColumnElement[Any], ...]

_Finish: TypeAlias = Callable[[Select[Any], Order], Select[Any]]


async def get_paginated_results(  # noqa: PLR0913  (the specification's)
    session: UnitOfWork,
    model: type[BaseModel],
    page: int,
    per_page: int,
    *,
    filters: Filters | None = None,
    apply_filters: ApplyFilters | None = None,
    related: Related = (),
    order: Order = (),
) -> tuple[Rows, MetadataModel]:
    """Return one page of what matches, and where it stands.

    Args:
        session: The unit of work.
        model: The table.
        page: The page's number, from 1.
        per_page: Rows on a page.
        filters: Values that columns must have; None does not filter.
        apply_filters: What does the filtering instead, for filters that
            are not equality.
        related: What comes with each row.
        order: What comes first, if it is not the primary key's order.
    """
    by = order or (key_of(model),)
    given = _given(filters)
    count = _query(model, (), by, _count, given, apply_filters)
    total = await count.fetch(session, given, _number)
    first = (page - 1) * per_page
    read = _rows_of(model, related)
    if first < total:
        part = _query(model, related, by, _page, given, apply_filters)
        values = {**given, "_limit": per_page, "_offset": first}
        rows = await part.fetch(session, values, read)
    else:
        rows = read([])
    meta = MetadataModel(
        page=page,
        per_page=per_page,
        total=total,
        pages=-(-total // per_page),
    )
    return rows, meta


async def get_cursor_results(  # noqa: PLR0913  (as its sibling)
    session: UnitOfWork,
    model: type[BaseModel],
    limit: int,
    after: str | None,
    *,
    filters: Filters | None = None,
    apply_filters: ApplyFilters | None = None,
    related: Related = (),
) -> tuple[Rows, CursorMetadata]:
    """Return the rows behind a cursor, and the cursor behind them.

    Args:
        session: The unit of work.
        model: The table.
        limit: Rows at most.
        after: `next` of the part before, None for the first.
        filters: As for `get_paginated_results`.
        apply_filters: As for `get_paginated_results`.
        related: As for `get_paginated_results`.

    Raises:
        InvalidField: `after` is no cursor.
    """
    key = key_of(model)
    last_id = 0 if after is None else decode_cursor(after)
    given = _given(filters)
    query = _query(model, related, (key,), _part, given, apply_filters)
    values = {**given, "_limit": limit + 1, "_after": last_id}
    return await query.fetch(session, values, _part_of(model, related, limit))


async def get_row(
    session: UnitOfWork,
    model: type[BaseModel],
    entity_id: int,
    related: Related = (),
) -> Row | None:
    """Return the row with this id, or None."""
    query = _row_query(model, related)
    rows = await query.fetch(
        session, {"_id": entity_id}, _rows_of(model, related)
    )
    return rows[0] if rows else None


@lru_cache
def _rows_of(model: type[BaseModel], related: Related) -> Make[Rows]:
    return partial(read_rows, model, related)


@lru_cache(maxsize=512)
def _part_of(
    model: type[BaseModel], related: Related, limit: int
) -> Make[tuple[Rows, CursorMetadata]]:
    key = key_of(model).name

    def make(found: list[Record]) -> tuple[Rows, CursorMetadata]:
        rows = read_rows(model, related, found[:limit])
        behind = None
        if len(found) > limit:
            behind = encode_cursor(found[limit - 1][key])
        return rows, CursorMetadata(limit=limit, next=behind)

    return make


def _number(found: list[Record]) -> int:
    return int(found[0][0])


@lru_cache
def _row_query(model: type[BaseModel], related: Related) -> Query:
    mine = key_of(model) == bindparam("_id", type_=BigInteger)
    return Query.of(select_rows(model, related).where(mine))


def encode_cursor(last_id: int) -> str:
    """Return the cursor behind the row with this id.

    It is safe in a URL: no digits give one of the two characters that are
    not.
    """
    encoded = binascii.b2a_base64(b"%d" % last_id, newline=False)
    return encoded.rstrip(b"=").decode()


def decode_cursor(cursor: str) -> int:
    """Return the id that a cursor stands behind.

    Raises:
        InvalidField: No list ever gave this cursor.
    """
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        last_id = int(base64.b64decode(padded, b"-_", validate=True))
    except (binascii.Error, ValueError):
        last_id = 0
    if not 0 < last_id <= MAX_ID or encode_cursor(last_id) != cursor:
        raise InvalidField("after", "This is not a cursor of a list", "cursor")
    return last_id


def _given(filters: Filters | None) -> Filters:
    return {k: v for k, v in (filters or {}).items() if v is not None}


def _query(
    model: type[BaseModel],
    related: Related,
    by: Order,
    finish: _Finish,
    given: Filters,
    apply_filters: ApplyFilters | None,
) -> Query:
    if apply_filters is None:
        return _equality_query(model, related, by, finish, tuple(given))
    matching = apply_filters(select_rows(model, related), given)
    return Query.of(finish(matching, by))


@lru_cache(maxsize=512)
def _equality_query(
    model: type[BaseModel],
    related: Related,
    by: Order,
    finish: _Finish,
    names: tuple[str, ...],
) -> Query:
    columns = columns_of(model)
    equal = (
        columns[name] == bindparam(name, type_=columns[name].type)
        for name in names
    )
    return Query.of(finish(select_rows(model, related).where(*equal), by))


def _count(matching: Select[Any], _: Order) -> Select[Any]:
    return select(func.count()).select_from(matching.subquery())


def _page(matching: Select[Any], by: Order) -> Select[Any]:
    first = bindparam("_offset", type_=BigInteger)
    return matching.order_by(*by).offset(first).limit(_limit())


def _part(matching: Select[Any], by: Order) -> Select[Any]:
    behind = by[0] > bindparam("_after", type_=BigInteger)
    return matching.where(behind).order_by(*by).limit(_limit())


def _limit() -> ColumnElement[int]:
    return bindparam("_limit", type_=BigInteger)
