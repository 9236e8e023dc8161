"""Rows that are read past the ORM: in whose transaction, and what fails."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import bindparam, func, select, text

from app.commands.book import ListBooksCommand
from app.constants import MAX_ID
from app.exceptions import (
    AppError,
    DeadlineExceeded,
    InvalidInput,
    Unavailable,
)
from app.models import Author, Book
from app.repositories.author import AuthorRepository
from app.repositories.book import BookRepository
from app.schemas.book import GetBooks
from app.settings import DatabaseSettings
from app.storage.db import Database
from app.storage.reading import Query
from app.storage.unit_of_work import UnitOfWork

SLOW = Query.of(select(func.pg_sleep(30)))
NAP = Query.of(select(func.pg_sleep(0.3)))
BLINK = Query.of(text("SELECT CAST(:v AS bigint), pg_sleep(0.01)"))
MYSELF = Query.of(select(func.pg_backend_pid()))
SUICIDE = Query.of(select(func.pg_terminate_backend(func.pg_backend_pid())))
KILL_SLEEPER = Query.of(
    text(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        " WHERE pid = :v AND wait_event = 'PgSleep'"
    )
)
NUMBER = Query.of(text("SELECT CAST(:v AS bigint)"))
TEXT = Query.of(select(bindparam("v", type_=Author.name.type)))  # type: ignore[attr-defined]  # SQLModel's types


@pytest.fixture
async def narrow(
    database_settings: DatabaseSettings,
) -> AsyncIterator[Database]:
    """One connection for reads, and half a second for a statement."""
    changed = {"db_read_pool_size": 1, "db_statement_timeout_seconds": 0.5}
    settings = DatabaseSettings(**{**vars(database_settings), **changed})
    database = Database(settings)
    yield database
    await database.close()


async def read(database: Database, query: Query, **values: Any) -> Any:
    """Return one value, read in a unit of work of its own."""
    async with database.unit_of_work() as session:
        return (await query.fetch(session, values, list))[0][0]


async def test_read_alone_opens_no_transaction(
    session: UnitOfWork,
) -> None:
    """A unit of work that only lists has nothing to commit."""
    await AuthorRepository(session).list_after(20, None, {})
    assert not session.in_transaction()


async def test_read_follows_a_change_of_the_schema(
    database: Database,
) -> None:
    """A statement that was prepared before is prepared again."""
    query = Query.of(text("SELECT * FROM changing"))
    change = text("ALTER TABLE changing ALTER COLUMN v TYPE text")
    async with database.unit_of_work() as session:
        await session.execute(text("CREATE TABLE changing AS SELECT 1 AS v"))
    try:
        before = await read(database, query)
        async with database.unit_of_work() as session:
            await session.execute(change)
        assert (1, "1") == (before, await read(database, query))
    finally:
        async with database.unit_of_work() as session:
            await session.execute(text("DROP TABLE changing"))


async def test_read_sees_what_its_unit_of_work_has_written(
    session: UnitOfWork,
) -> None:
    """A list after a write runs on the write's own connection."""
    authors = AuthorRepository(session)
    await authors.create(Author(name="Ada"))
    mine = await session.scalar(select(func.pg_backend_pid()))
    rows, _ = await authors.list_after(20, None, {})
    assert ["Ada"] == [row.name for row in rows]
    assert mine == (await MYSELF.fetch(session, {}, list))[0][0]


async def test_list_with_authors_is_one_statement(
    session: UnitOfWork,
) -> None:
    """Books come with their authors, however many, in one round trip."""
    for number in range(5):
        author = Author(name=f"author {number}")
        session.add(author)
        await session.flush()
        session.add(Book(title=f"book {number}", author_id=author.id))
    await session.flush()

    def statements() -> float:
        name = "db_query_duration_seconds_count"
        labels = {"operation": "select"}
        return REGISTRY.get_sample_value(name, labels) or 0

    before = statements()
    page = await ListBooksCommand(BookRepository(session)).execute(GetBooks())
    assert [f"author {n}" for n in range(5)] == [
        book.author.name for book in page.data
    ]
    assert statements() - before == 1


@pytest.mark.parametrize(
    ("query", "values", "expected"),
    [
        (SLOW, {}, DeadlineExceeded),
        (SUICIDE, {}, Unavailable),
        (NUMBER, {"v": MAX_ID + 1}, InvalidInput),
        (TEXT, {"v": "a\0b"}, InvalidInput),
    ],
    ids=["slow", "closed", "too large", "NUL"],
)
async def test_failed_read_is_a_fact_and_leaves_the_pool_whole(
    narrow: Database,
    query: Query,
    values: dict[str, Any],
    expected: type[AppError],
) -> None:
    """Errors of the driver are told as the ORM's are, and do no harm."""
    with pytest.raises(expected):
        await read(narrow, query, **values)
    assert narrow.connections_in_use == 0
    assert await read(narrow, MYSELF)


async def test_read_whose_connection_is_lost_is_tried_again(
    narrow: Database, database: Database
) -> None:
    """A server that ends a connection under a read is asked once more."""
    lost = await read(narrow, MYSELF)
    task = asyncio.create_task(read(narrow, NAP))
    while not await read(database, KILL_SLEEPER, v=lost):
        pass
    await task
    assert lost != await read(narrow, MYSELF)


async def test_reads_wait_for_one_another(narrow: Database) -> None:
    """More reads than connections take turns, in their order."""
    done: list[int] = []

    async def sleep(number: int) -> None:
        await read(narrow, BLINK, v=number)
        done.append(number)

    await asyncio.gather(*(sleep(number) for number in range(5)))
    assert [0, 1, 2, 3, 4] == done
    assert narrow.connections == 1


async def test_equal_reads_of_a_moment_are_one(database: Database) -> None:
    """Many who ask for the same at once cost one statement."""
    drawn = Query.of(select(func.random()))
    at_once = await asyncio.gather(*(read(database, drawn) for _ in range(9)))
    assert 1 == len(set(at_once))
    assert await read(database, drawn) not in at_once


async def test_read_that_waits_too_long_is_shed(
    database_settings: DatabaseSettings,
) -> None:
    """Whoever gets no connection in time is told so; the others go on."""
    changed = {"db_read_pool_size": 1, "db_pool_timeout_seconds": 0.05}
    settings = DatabaseSettings(**{**vars(database_settings), **changed})
    database = Database(settings)
    busy = asyncio.create_task(read(database, NAP))
    while not database.connections_in_use:  # noqa: ASYNC110  (no event tells)
        await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        await read(database, MYSELF)
    await busy
    assert await read(database, MYSELF)
    await database.close()


async def test_cancelled_wait_leaves_the_connection_to_the_next(
    narrow: Database,
) -> None:
    """Who stops waiting just when it is his turn takes nothing with him."""
    busy, waiting = (
        asyncio.create_task(read(narrow, BLINK, v=v)) for v in range(2)
    )
    busy.add_done_callback(lambda _: waiting.cancel())
    await asyncio.gather(busy, waiting, return_exceptions=True)
    assert narrow.connections_in_use == 0
    assert await read(narrow, MYSELF)


async def test_refused_value_costs_no_connection(narrow: Database) -> None:
    """A client's bad value does not make the pool connect again."""
    before = await read(narrow, MYSELF)
    for query, value in ((NUMBER, MAX_ID + 1), (TEXT, "a\0b")):
        with suppress(InvalidInput):
            await read(narrow, query, v=value)
    assert before == await read(narrow, MYSELF)


async def test_cancelled_read_leaves_the_pool_whole(narrow: Database) -> None:
    """Whoever reads next does not meet the cancelled statement."""
    before = await read(narrow, MYSELF)
    task = asyncio.create_task(read(narrow, SLOW))
    while not narrow.connections_in_use:  # noqa: ASYNC110  (no event tells)
        await asyncio.sleep(0)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert narrow.connections_in_use == 0
    assert before != await read(narrow, MYSELF)


async def test_who_shares_a_statement_shares_its_rows_and_their_json(
    database: Database,
) -> None:
    """Both are made once, and nobody can change what others get."""

    async def listed() -> Any:
        async with database.unit_of_work() as session:
            rows, _ = await AuthorRepository(session).list_after(20, None, {})
            return rows

    async with database.unit_of_work() as session:
        await AuthorRepository(session).create(Author(name="Ada"))
    one, other = await asyncio.gather(listed(), listed())
    assert one is other
    assert one.json is other.json
    assert b'"name":"Ada"' in bytes(one.json)
    with pytest.raises(AttributeError):
        one[0].name = "Eve"
