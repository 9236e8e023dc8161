"""Books in the database."""

from typing import ClassVar

from sqlalchemy.orm import joinedload

from app.exceptions import UnknownAuthor
from app.models.book import Book
from app.repositories.base import BaseRepository, Violations


class BookRepository(BaseRepository[Book]):
    """Stores books; each comes with its author."""

    model = Book
    violations: ClassVar[Violations] = {
        "fk_book_author_id_author": lambda row: UnknownAuthor(
            row["author_id"]
        ),
    }
    options = (
        joinedload(Book.author),  # type: ignore[arg-type]  # SQLModel's types
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
