"""What can be done with books."""

from app.commands.base import BaseCommand
from app.exceptions import AuthorNotFound, BookNotFound
from app.models.book import Book
from app.repositories.author import AuthorRepository
from app.repositories.book import BookRepository
from app.schemas.book import (
    BookCursorPage,
    BookInput,
    BookPartialUpdate,
    BookRead,
    BookUpdate,
    GetAuthorBooks,
    GetBooks,
)


class CreateBookCommand(BaseCommand[BookInput, BookRead]):
    """Stores a new book."""

    def __init__(self, books: BookRepository) -> None:
        self.books = books

    async def execute(self, input_data: BookInput) -> BookRead:
        """Store the book.

        Raises:
            UnknownAuthor: There is no such author.
        """
        book = await self.books.create(
            Book(title=input_data.title, author_id=input_data.author_id)
        )
        return BookRead.model_validate(book)


class GetBookCommand(BaseCommand[int, BookRead]):
    """Finds a book by id."""

    def __init__(self, books: BookRepository) -> None:
        self.books = books

    async def execute(self, input_data: int) -> BookRead:
        """Find the book.

        Raises:
            BookNotFound: There is none.
        """
        book = await self.books.find(input_data)
        if book is None:
            raise BookNotFound(input_data)
        return BookRead.model_validate(book)


class UpdateBookCommand(BaseCommand[BookUpdate | BookPartialUpdate, BookRead]):
    """Changes a book: all of it, or the fields that are given."""

    def __init__(self, books: BookRepository) -> None:
        self.books = books

    async def execute(
        self, input_data: BookUpdate | BookPartialUpdate
    ) -> BookRead:
        """Change the book.

        Raises:
            BookNotFound: There is none.
            UnknownAuthor: There is no such author.
        """
        book = await self.books.get_for_update(input_data.id)
        if book is None:
            raise BookNotFound(input_data.id)
        book.sqlmodel_update(
            input_data.model_dump(exclude={"id"}, exclude_unset=True)
        )
        book = await self.books.update(book)
        return BookRead.model_validate(book)


class DeleteBookCommand(BaseCommand[int, None]):
    """Removes a book."""

    def __init__(self, books: BookRepository) -> None:
        self.books = books

    async def execute(self, input_data: int) -> None:
        """Remove the book.

        Raises:
            BookNotFound: There is none.
        """
        book = await self.books.get_for_update(input_data)
        if book is None:
            raise BookNotFound(input_data)
        await self.books.delete(book)


class ListBooksCommand(BaseCommand[GetBooks, BookCursorPage]):
    """Lists books, after a cursor."""

    def __init__(self, books: BookRepository) -> None:
        self.books = books

    async def execute(self, input_data: GetBooks) -> BookCursorPage:
        """List the books.

        Raises:
            InvalidInput: The cursor is none.
        """
        books, meta = await self.books.list_after(
            input_data.limit, input_data.after, vars(input_data.filters)
        )
        return BookCursorPage.of(books, meta)


class ListAuthorBooksCommand(BaseCommand[GetAuthorBooks, BookCursorPage]):
    """Lists the books of one author, after a cursor."""

    def __init__(
        self, authors: AuthorRepository, books: BookRepository
    ) -> None:
        self.authors = authors
        self.books = books

    async def execute(self, input_data: GetAuthorBooks) -> BookCursorPage:
        """List the books.

        Raises:
            AuthorNotFound: There is no such author.
            InvalidInput: The cursor is none.
        """
        author_id = input_data.author_id
        if not await self.authors.exists(id=author_id):
            raise AuthorNotFound(author_id)
        books, meta = await self.books.list_after(
            input_data.limit, input_data.after, {"author_id": author_id}
        )
        return BookCursorPage.of(books, meta)
