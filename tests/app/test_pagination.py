"""Pages and cursors."""

from typing import Any

import pytest
from sqlalchemy import Select
from sqlmodel import col

from app.constants import MAX_ID, MAX_PAGE_NUMBER, MAX_PAGE_SIZE
from app.exceptions import InvalidInput
from app.models import Author
from app.schemas.page import CursorMetadata, MetadataModel
from app.storage.db import get_cursor_results, get_paginated_results
from app.storage.pagination import Filters, decode_cursor, encode_cursor
from app.storage.unit_of_work import UnitOfWork


@pytest.fixture
async def names(session: UnitOfWork) -> list[str]:
    """The names of 25 authors, in the order of their ids."""
    names = [f"author {number:02}" for number in range(25)]
    for name in names:
        session.add(Author(name=name))
        await session.flush()
    return names


async def read_pages(session: UnitOfWork, per_page: int) -> list[list[str]]:
    """Read every page, by number."""
    page, pages, read = 0, 1, []
    while page < pages:
        page += 1
        rows, meta = await get_paginated_results(
            session, Author, page, per_page
        )
        read.append([row.name for row in rows])
        pages = meta.pages
    return read


async def test_every_row_is_on_one_page(
    session: UnitOfWork, names: list[str]
) -> None:
    """All pages together are the table, in the order of the ids."""
    read = await read_pages(session, 10)
    assert [len(page) for page in read] == [10, 10, 5]
    assert names == [name for page in read for name in page]


@pytest.mark.parametrize(
    ("page", "per_page", "rows", "pages"),
    [
        (1, 25, 25, 1),
        (1, 24, 24, 2),
        (2, 24, 1, 2),
        (3, 24, 0, 2),
        (1, MAX_PAGE_SIZE, 25, 1),
        (MAX_PAGE_NUMBER, MAX_PAGE_SIZE, 0, 1),
    ],
)
@pytest.mark.usefixtures("names")
async def test_page_says_where_it_stands(
    session: UnitOfWork, page: int, per_page: int, rows: int, pages: int
) -> None:
    """A page has its metadata, also behind the last one."""
    found, meta = await get_paginated_results(session, Author, page, per_page)
    assert rows == len(found)
    assert meta == MetadataModel(
        page=page, per_page=per_page, total=25, pages=pages
    )


async def test_nothing_has_no_pages(session: UnitOfWork) -> None:
    """An empty table has one empty page and zero pages."""
    rows, meta = await get_paginated_results(session, Author, 1, 20)
    assert not rows
    assert meta == MetadataModel(page=1, per_page=20, total=0, pages=0)


async def test_filters_are_equality_and_none_is_no_filter(
    session: UnitOfWork, names: list[str]
) -> None:
    """Only what has all the given values is found and counted."""
    rows, meta = await get_paginated_results(
        session, Author, 1, 20, filters={"name": names[7], "id": None}
    )
    assert [names[7]] == [row.name for row in rows]
    assert meta.total == 1


async def test_filter_on_unknown_column_is_our_mistake(
    session: UnitOfWork,
) -> None:
    """A filter that no column has is not silently ignored."""
    with pytest.raises(KeyError, match="colour"):
        await get_paginated_results(
            session, Author, 1, 20, filters={"colour": "red"}
        )


async def test_other_filters_than_equality_can_be_given(
    session: UnitOfWork, names: list[str]
) -> None:
    """What is given as `apply_filters` does all the filtering."""

    def starts_with(statement: Select[Any], filters: Filters) -> Select[Any]:
        matches = col(Author.name).startswith(filters["prefix"])
        return statement.where(matches)

    how: dict[str, Any] = {
        "filters": {"prefix": "author 2"},
        "apply_filters": starts_with,
    }
    page, meta = await get_paginated_results(session, Author, 1, 3, **how)
    part, _ = await get_cursor_results(session, Author, 20, None, **how)
    assert meta.total == 5
    assert names[20:23] == [row.name for row in page]
    assert names[20:] == [row.name for row in part]


async def test_cursor_reads_on_where_it_stopped_while_rows_come_and_go(
    session: UnitOfWork, names: list[str]
) -> None:
    """Neither a new nor a deleted row shifts what is read next."""
    first, meta = await get_cursor_results(session, Author, 10, None)
    session.add(Author(name="late"))
    for index in (3, 9):
        await session.delete(await session.get_one(Author, first[index].id))
    await session.flush()
    read = [row.name for row in first]
    while meta.next is not None:
        rows, meta = await get_cursor_results(session, Author, 10, meta.next)
        read += [row.name for row in rows]
    assert [*names, "late"] == read


async def test_last_part_has_no_next(
    session: UnitOfWork, names: list[str]
) -> None:
    """A part that ends with the last row says so, also when it is full."""
    rows, meta = await get_cursor_results(session, Author, len(names), None)
    assert names == [row.name for row in rows]
    assert meta == CursorMetadata(limit=len(names), next=None)


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "é",
        "\0",
        "=",
        "MTA=",
        "LTE",  # -1
        "MA",  # 0
        "MDE",  # 01
        "IDE",  # " 1"
        "OTIyMzM3MjAzNjg1NDc3NTgwOA",  # 2**63
        "OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5",
    ],
)
async def test_made_up_cursor_is_invalid_input(
    session: UnitOfWork, cursor: str
) -> None:
    """A cursor that no list gave is refused, naming its field."""
    with pytest.raises(InvalidInput) as caught:
        await get_cursor_results(session, Author, 20, cursor)
    assert [error["loc"] for error in caught.value.errors] == [["after"]]


@pytest.mark.parametrize("last_id", [1, 9, 10, 2**31, MAX_ID])
def test_cursor_is_read_as_written(last_id: int) -> None:
    """Every id makes a cursor that names it."""
    assert last_id == decode_cursor(encode_cursor(last_id))
