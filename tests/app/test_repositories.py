"""What every repository does."""

from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from app.constants import MAX_ID
from app.exceptions import AuthorExists, AuthorHasBooks, UnknownAuthor
from app.models import Author, Book
from app.protocols import Repository
from app.repositories.author import AuthorRepository
from app.repositories.book import BookRepository
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
async def ada(authors: AuthorRepository) -> Author:
    """An author."""
    return await authors.create(Author(name="Ada"))


async def test_created_thing_is_found_by_id_and_by_name(
    authors: AuthorRepository, ada: Author
) -> None:
    """A thing that was created has an id and can be looked up."""
    assert ada is await authors.get_by_id(ada.id)
    assert ada is await authors.get_for_update(ada.id)
    assert ada is await authors.get_by_name("Ada")


async def test_unknown_thing_is_none(authors: AuthorRepository) -> None:
    """What is not there is None, whatever the id."""
    assert [
        await authors.get_by_id(1),
        await authors.get_for_update(MAX_ID),
        await authors.get_by_name("nobody"),
    ] == [None, None, None]


async def test_exists_looks_at_all_given_values(
    authors: AuthorRepository, ada: Author
) -> None:
    """Something exists if one row has every value; none means any row."""
    assert [
        await authors.exists(),
        await authors.exists(name="Ada"),
        await authors.exists(name="Ada", id=ada.id),
        await authors.exists(name="Ada", id=ada.id + 1),
    ] == [True, True, True, False]


async def test_deleted_thing_is_gone(
    authors: AuthorRepository, ada: Author
) -> None:
    """After a delete nothing is found."""
    await authors.delete(ada)
    assert not await authors.exists()


async def test_taken_name_is_a_conflict_on_create(
    authors: AuthorRepository, ada: Author
) -> None:
    """The unique constraint says that an author exists."""
    with pytest.raises(AuthorExists, match="'Ada'"):
        await authors.create(Author(name=ada.name))


@pytest.mark.usefixtures("ada")
async def test_taken_name_is_a_conflict_on_update(
    authors: AuthorRepository,
) -> None:
    """A rename to a taken name is refused, naming the taken one."""
    bruno = await authors.create(Author(name="Bruno"))
    bruno.name = "Ada"
    with pytest.raises(AuthorExists, match="'Ada'"):
        await authors.update(bruno)


async def test_same_constraint_means_another_thing_to_each_noun(
    authors: AuthorRepository, books: BookRepository, ada: Author
) -> None:
    """The key of a book to its author guards one and checks the other."""
    await books.create(Book(title="Notes", author_id=ada.id))
    async with authors.session.begin_nested() as savepoint:
        with pytest.raises(AuthorHasBooks, match=str(ada.id)):
            await authors.delete(ada)
        await savepoint.rollback()
    with pytest.raises(UnknownAuthor, match=str(MAX_ID)):
        await books.create(Book(title="Notes", author_id=MAX_ID))


async def test_constraint_that_no_command_means_stays_as_it_is(
    authors: AuthorRepository,
) -> None:
    """A violation nobody has foreseen is passed on."""
    nameless: dict[str, Any] = {"name": None}
    with pytest.raises(IntegrityError, match="not-null"):
        await authors.create(Author(**nameless))


async def test_book_comes_with_its_author(
    authors: AuthorRepository,
    books: BookRepository,
    session: UnitOfWork,
    ada: Author,
) -> None:
    """A book that is created, moved or found has its author loaded."""
    bruno = await authors.create(Author(name="Bruno"))
    book = await books.create(Book(title="Notes", author_id=ada.id))
    created = book.author.name
    book.author_id = bruno.id
    moved = (await books.update(book)).author.name
    session.expunge_all()
    found = await books.get_by_id(book.id)
    assert found is not None
    assert [created, moved, found.author.name] == ["Ada", "Bruno", "Bruno"]


def test_repositories_are_what_the_protocol_asks_for(
    authors: AuthorRepository, books: BookRepository
) -> None:
    """Mypy checks the assignments; at run time every method is there."""
    of_authors: Repository[Author] = authors
    of_books: Repository[Book] = books
    methods = [name for name in vars(Repository) if name[0] != "_"]
    assert all(hasattr(of_authors, name) for name in methods)
    assert all(hasattr(of_books, name) for name in methods)
