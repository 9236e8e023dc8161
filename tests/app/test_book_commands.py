"""What can be done with books."""

import pytest
from pydantic import ValidationError

from app.commands.author import CreateAuthorCommand
from app.commands.book import (
    CreateBookCommand,
    DeleteBookCommand,
    GetBookCommand,
    ListAuthorBooksCommand,
    ListBooksCommand,
    UpdateBookCommand,
)
from app.constants import MAX_ID
from app.exceptions import AuthorNotFound, BookNotFound, UnknownAuthor
from app.repositories.author import AuthorRepository
from app.repositories.book import BookRepository
from app.schemas.author import AuthorInput, AuthorRead
from app.schemas.book import (
    BookCursorQuery,
    BookFilters,
    BookInput,
    BookPartialUpdate,
    BookPatch,
    BookRead,
    BookUpdate,
    GetAuthorBooks,
    GetBooks,
)
from app.storage.unit_of_work import UnitOfWork


@pytest.fixture
def authors(session: UnitOfWork) -> AuthorRepository:
    """The authors."""
    return AuthorRepository(session)


@pytest.fixture
def books(session: UnitOfWork) -> BookRepository:
    """The books."""
    return BookRepository(session)


@pytest.fixture
async def ada(authors: AuthorRepository) -> AuthorRead:
    """An author."""
    return await CreateAuthorCommand(authors).execute(AuthorInput(name="Ada"))


@pytest.fixture
async def bruno(authors: AuthorRepository) -> AuthorRead:
    """Another author."""
    return await CreateAuthorCommand(authors).execute(
        AuthorInput(name="Bruno")
    )


@pytest.fixture
async def notes(books: BookRepository, ada: AuthorRead) -> BookRead:
    """A book."""
    data = BookInput(title="Notes", author_id=ada.id)
    return await CreateBookCommand(books).execute(data)


async def test_created_book_can_be_read_with_its_author(
    books: BookRepository, ada: AuthorRead, notes: BookRead
) -> None:
    """What a create answers is what a read answers."""
    assert notes == BookRead(
        id=notes.id, title="Notes", author_id=ada.id, author=ada
    )
    assert notes == await GetBookCommand(books).execute(notes.id)


async def test_book_can_change_as_a_whole(
    books: BookRepository, bruno: AuthorRead, notes: BookRead
) -> None:
    """All new values replace all old ones, and the author comes along."""
    updated = await UpdateBookCommand(books).execute(
        BookUpdate(id=notes.id, title="Letters", author_id=bruno.id)
    )
    assert updated == BookRead(
        id=notes.id, title="Letters", author_id=bruno.id, author=bruno
    )
    assert updated == await GetBookCommand(books).execute(notes.id)


async def test_book_can_change_in_part(
    books: BookRepository, bruno: AuthorRead, notes: BookRead
) -> None:
    """What is not given stays."""
    command = UpdateBookCommand(books)
    renamed = await command.execute(
        BookPartialUpdate(id=notes.id, title="Letters")
    )
    moved = await command.execute(
        BookPartialUpdate(id=notes.id, author_id=bruno.id)
    )
    assert renamed == notes.model_copy(update={"title": "Letters"})
    assert moved == renamed.model_copy(
        update={"author_id": bruno.id, "author": bruno}
    )


async def test_new_book_needs_an_author_that_exists(
    books: BookRepository,
) -> None:
    """An author nobody knows is invalid input, naming the field."""
    with pytest.raises(UnknownAuthor) as caught:
        await CreateBookCommand(books).execute(
            BookInput(title="Notes", author_id=MAX_ID)
        )
    assert [error["loc"] for error in caught.value.errors] == [["author_id"]]


async def test_moved_book_needs_an_author_that_exists(
    books: BookRepository, notes: BookRead
) -> None:
    """A book does not move to an author nobody knows."""
    with pytest.raises(UnknownAuthor, match=str(MAX_ID)):
        await UpdateBookCommand(books).execute(
            BookPartialUpdate(id=notes.id, author_id=MAX_ID)
        )


async def test_deleted_book_is_not_found(
    books: BookRepository, notes: BookRead
) -> None:
    """After a delete, whatever needs the book says there is none."""
    await DeleteBookCommand(books).execute(notes.id)
    change = BookPartialUpdate(id=notes.id, title="Letters")
    for attempt in (
        GetBookCommand(books).execute(notes.id),
        DeleteBookCommand(books).execute(notes.id),
        UpdateBookCommand(books).execute(change),
    ):
        with pytest.raises(BookNotFound, match=str(notes.id)):
            await attempt


async def test_list_finds_books_by_every_field(
    books: BookRepository, bruno: AuthorRead, notes: BookRead
) -> None:
    """A filter on any field finds the book it fits."""
    await CreateBookCommand(books).execute(
        BookInput(title="Letters", author_id=bruno.id)
    )
    for filters in (
        BookFilters(id=notes.id),
        BookFilters(title="Notes"),
        BookFilters(author_id=notes.author_id),
    ):
        found = await ListBooksCommand(books).execute(
            GetBooks(filters=filters)
        )
        assert [notes] == [BookRead.model_validate(b) for b in found.data]


async def test_books_of_an_author_are_listed_in_parts(
    authors: AuthorRepository,
    books: BookRepository,
    bruno: AuthorRead,
    notes: BookRead,
) -> None:
    """One author's books are found, and no others."""
    create = CreateBookCommand(books)
    for title in ("Letters", "Poems", "Songs"):
        await create.execute(BookInput(title=title, author_id=bruno.id))
    command = ListAuthorBooksCommand(authors, books)
    question = GetAuthorBooks(author_id=bruno.id, limit=2)
    first = await command.execute(question)
    rest = await command.execute(
        question.model_copy(update={"after": first.meta.next})
    )
    read = [book.title for book in (*first.data, *rest.data)]
    assert read == ["Letters", "Poems", "Songs"]
    assert notes.title not in read
    assert rest.meta.next is None


async def test_nobody_has_no_list_of_books(
    authors: AuthorRepository, books: BookRepository, ada: AuthorRead
) -> None:
    """An author without books has an empty list, nobody has none."""
    command = ListAuthorBooksCommand(authors, books)
    empty = await command.execute(GetAuthorBooks(author_id=ada.id))
    assert not empty.data
    with pytest.raises(AuthorNotFound, match=str(MAX_ID)):
        await command.execute(GetAuthorBooks(author_id=MAX_ID))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("title", "a\0b"),
        ("title", ""),
        ("title", None),
        ("author_id", 0),
        ("author_id", MAX_ID + 1),
        ("author_id", "1"),
        ("author_id", True),
        ("author_id", None),
    ],
)
def test_value_that_cannot_be_stored_is_refused(
    field: str, value: object
) -> None:
    """Bodies are strict: no such value comes as far as the database."""
    whole = {"title": "Notes", "author_id": 1, field: value}
    for schema, data in ((BookInput, whole), (BookPatch, {field: value})):
        with pytest.raises(ValidationError) as caught:
            schema.model_validate(data)
        assert [(field,)] == [error["loc"] for error in caught.value.errors()]


def test_query_parameters_ask_what_the_socket_asks() -> None:
    """The same question is the same object, however it was asked."""
    query = BookCursorQuery(limit="5", after="MQ", title="A", author_id="7")
    assert query.to_request() == GetBooks(
        limit=5, after="MQ", filters=BookFilters(title="A", author_id=7)
    )
