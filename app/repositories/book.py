"""Books in the database."""

from typing import ClassVar

from app.api.ws.constants import PkgID
from app.exceptions import UnknownAuthor
from app.models.book import Book
from app.repositories.base import BaseRepository, Violations
from app.storage.rows import Related


class BookRepository(BaseRepository[Book]):
    """Stores books; each comes with its author."""

    model = Book
    push = PkgID.BOOKS_CHANGED
    violations: ClassVar[Violations] = {
        "fk_book_author_id_author": lambda row: UnknownAuthor(
            row["author_id"]
        ),
    }
    related: ClassVar[Related] = (
        Book.author,  # type: ignore[assignment]  # SQLModel's types
    )

    async def create(self, instance: Book) -> Book:
        """Store a new book and return it with its id and author.

        Raises:
            UnknownAuthor: There is no such author.
        """
        book = await super().create(instance)
        return await self._load_author(book)

    async def update(self, instance: Book) -> Book:
        """Store what was changed on a loaded book and return it.

        Raises:
            UnknownAuthor: There is no such author.
        """
        book = await super().update(instance)
        if book.author.id == book.author_id:
            return book
        return await self._load_author(book)

    async def _load_author(self, book: Book) -> Book:
        await self.session.refresh(book, ["author"])
        return book
