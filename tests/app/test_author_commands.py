"""What can be done with authors."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError
from sqlalchemy import text

from app.commands.author import (
    CreateAuthorCommand,
    DeleteAuthorCommand,
    GetAuthorCommand,
    ListAuthorsCommand,
    PaginateAuthorsCommand,
    UpdateAuthorCommand,
)
from app.commands.book import CreateBookCommand
from app.constants import MAX_ID
from app.exceptions import (
    AppError,
    AuthorExists,
    AuthorHasBooks,
    AuthorNotFound,
)
from app.repositories.author import AuthorRepository
from app.repositories.book import BookRepository
from app.schemas.author import (
    AuthorCursorQuery,
    AuthorFilters,
    AuthorInput,
    AuthorPageQuery,
    AuthorPartialUpdate,
    AuthorPatch,
    AuthorRead,
    AuthorUpdate,
    GetAuthors,
    GetPaginatedAuthors,
)
from app.schemas.book import BookInput
from app.storage.db import Database
from app.storage.unit_of_work import UnitOfWork


@pytest.fixture
def authors(session: UnitOfWork) -> AuthorRepository:
    """The authors."""
    return AuthorRepository(session)


@pytest.fixture
async def ada(authors: AuthorRepository) -> AuthorRead:
    """An author."""
    return await CreateAuthorCommand(authors).execute(AuthorInput(name="Ada"))


async def test_created_author_can_be_read(
    authors: AuthorRepository, ada: AuthorRead
) -> None:
    """What a create answers is what a read answers."""
    assert ada == await GetAuthorCommand(authors).execute(ada.id)
    assert ada.name == "Ada"


@pytest.mark.parametrize(
    "change",
    [
        lambda author: AuthorUpdate(id=author.id, name="Ada L."),
        lambda author: AuthorPartialUpdate(id=author.id, name="Ada L."),
    ],
    ids=["all", "some"],
)
async def test_updated_author_can_be_read(
    authors: AuthorRepository,
    ada: AuthorRead,
    change: Callable[[AuthorRead], AuthorUpdate | AuthorPartialUpdate],
) -> None:
    """All or some new values make the same author anew."""
    updated = await UpdateAuthorCommand(authors).execute(change(ada))
    assert updated == AuthorRead(id=ada.id, name="Ada L.")
    assert updated == await GetAuthorCommand(authors).execute(ada.id)


async def test_update_to_its_own_name_changes_nothing(
    authors: AuthorRepository, ada: AuthorRead
) -> None:
    """A name is not in conflict with itself."""
    same = AuthorUpdate(id=ada.id, name=ada.name)
    assert ada == await UpdateAuthorCommand(authors).execute(same)


async def test_deleted_author_is_not_found(
    authors: AuthorRepository, ada: AuthorRead
) -> None:
    """After a delete, whatever needs the author says there is none."""
    await DeleteAuthorCommand(authors).execute(ada.id)
    change = AuthorUpdate(id=ada.id, name="Ada L.")
    for attempt in (
        GetAuthorCommand(authors).execute(ada.id),
        DeleteAuthorCommand(authors).execute(ada.id),
        UpdateAuthorCommand(authors).execute(change),
    ):
        with pytest.raises(AuthorNotFound, match=str(ada.id)):
            await attempt


async def test_author_with_books_stays(
    authors: AuthorRepository, session: UnitOfWork, ada: AuthorRead
) -> None:
    """An author cannot be deleted from under a book."""
    book = BookInput(title="Notes", author_id=ada.id)
    await CreateBookCommand(BookRepository(session)).execute(book)
    with pytest.raises(AuthorHasBooks):
        await DeleteAuthorCommand(authors).execute(ada.id)


async def test_lists_take_filters(
    authors: AuthorRepository, ada: AuthorRead
) -> None:
    """Both lists find one author by name among others."""
    for name in ("Bruno", "Chidi"):
        await CreateAuthorCommand(authors).execute(AuthorInput(name=name))
    filters = AuthorFilters(name="Ada")
    part = await ListAuthorsCommand(authors).execute(
        GetAuthors(filters=filters)
    )
    page = await PaginateAuthorsCommand(authors).execute(
        GetPaginatedAuthors(filters=filters)
    )
    everybody = await PaginateAuthorsCommand(authors).execute(
        GetPaginatedAuthors()
    )
    read = [AuthorRead.model_validate(row) for row in part.data]
    assert [ada] == read
    assert part.data == page.data
    assert [page.meta.total, everybody.meta.total] == [1, 3]


async def test_of_ten_concurrent_creates_one_succeeds(
    database: Database,
) -> None:
    """The unique constraint decides who was first; the others are told."""

    async def create() -> type[AuthorRead | AppError]:
        try:
            async with database.unit_of_work() as session:
                command = CreateAuthorCommand(AuthorRepository(session))
                return type(await command.execute(AuthorInput(name="Ada")))
        except AppError as error:
            return type(error)

    outcomes = await asyncio.gather(*(create() for _ in range(10)))
    assert Counter({AuthorExists: 9, AuthorRead: 1}) == Counter(outcomes)


WAIT_FOR_ME = text(
    "SELECT count(*) FROM pg_locks"
    " WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))"
)


async def test_concurrent_delete_and_update_agree(database: Database) -> None:
    """Whoever comes second sees what the first has done."""
    async with database.unit_of_work() as session:
        command = CreateAuthorCommand(AuthorRepository(session))
        author = await command.execute(AuthorInput(name="Ada"))

    async def update() -> object:
        try:
            async with database.unit_of_work() as session:
                command = UpdateAuthorCommand(AuthorRepository(session))
                return await command.execute(
                    AuthorUpdate(id=author.id, name="Ada L.")
                )
        except AppError as error:
            return type(error)

    async with database.unit_of_work() as session:
        await DeleteAuthorCommand(AuthorRepository(session)).execute(author.id)
        second = asyncio.create_task(update())
        while not await session.scalar(WAIT_FOR_ME):
            continue
    assert await second is AuthorNotFound


NAMES = [
    "",
    " \t\n",
    "a\0b",
    "\0",
    "\ud800",
    "x" * 256,
    "x" * 1_000_000,
    5,
    True,
    ["Ada"],
]


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
@pytest.mark.parametrize("schema", [AuthorInput, AuthorPatch, AuthorFilters])
def test_name_that_cannot_be_stored_is_refused(
    schema: type[BaseModel], name: object
) -> None:
    """No such name comes as far as the database, to store or to compare."""
    with pytest.raises(ValidationError) as caught:
        schema(name=name)
    assert [error["loc"] for error in caught.value.errors()] == [("name",)]


@pytest.mark.parametrize("name", ["x" * 255, "Ünïcödé 🦉", "a'; --", "\x01"])
async def test_every_other_name_is_stored_as_it_is(
    authors: AuthorRepository, name: str
) -> None:
    """What is accepted is read back without a change."""
    author = await CreateAuthorCommand(authors).execute(AuthorInput(name=name))
    assert name == (await GetAuthorCommand(authors).execute(author.id)).name


def test_white_space_around_a_name_is_not_part_of_it() -> None:
    """Names that look the same are the same."""
    assert AuthorInput(name="Ada") == AuthorInput(name=" Ada \n")
    assert AuthorFilters(name="Ada") == AuthorFilters(name=" Ada \n")


@pytest.mark.parametrize("value", [0, -1, MAX_ID + 1, 10**30, "x", 1.5, ""])
@pytest.mark.parametrize(
    "schema", [AuthorFilters, AuthorCursorQuery, AuthorPageQuery]
)
def test_id_that_cannot_be_is_refused(
    schema: type[BaseModel], value: object
) -> None:
    """An id is a positive bigint, also where it only filters."""
    with pytest.raises(ValidationError):
        schema(id=value)


@pytest.mark.parametrize(
    ("schema", "field", "value"),
    [
        (GetAuthors, "limit", 0),
        (GetAuthors, "limit", 1001),
        (GetAuthors, "limit", 10**9),
        (GetAuthors, "after", "x" * 65),
        (GetPaginatedAuthors, "page", 0),
        (GetPaginatedAuthors, "page", 2**31),
        (GetPaginatedAuthors, "per_page", 0),
        (GetPaginatedAuthors, "per_page", 10**9),
        (GetPaginatedAuthors, "colour", "red"),
    ],
)
def test_list_that_cannot_be_is_refused(
    schema: type[BaseModel], field: str, value: object
) -> None:
    """Limits and pages have bounds, and there are no other parameters."""
    with pytest.raises(ValidationError) as caught:
        schema(**{field: value})
    assert [(field,)] == [error["loc"] for error in caught.value.errors()]


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        ({}, "patch_empty"),
        ({"name": None}, "string_type"),
        ({"colour": "red"}, "extra_forbidden"),
    ],
)
def test_patch_changes_something(data: dict[str, Any], kind: str) -> None:
    """A patch has at least one field, and only known ones."""
    with pytest.raises(ValidationError) as caught:
        AuthorPatch(**data)
    assert kind in {error["type"] for error in caught.value.errors()}


def test_query_parameters_ask_what_the_socket_asks() -> None:
    """The same question is the same object, however it was asked."""
    cursor = AuthorCursorQuery(limit="5", after="MQ", id="7", name="Ada")
    page = AuthorPageQuery(page="2", per_page="5", id="7", name="Ada")
    filters = AuthorFilters(id=7, name="Ada")
    assert cursor.to_request() == GetAuthors(
        limit=5, after="MQ", filters=filters
    )
    assert page.to_request() == GetPaginatedAuthors(
        page=2, per_page=5, filters=filters
    )
