"""Authors in the database."""

from typing import ClassVar

from sqlalchemy import select
from sqlmodel import col

from app.api.ws.constants import PkgID
from app.exceptions import AuthorExists, AuthorHasBooks
from app.models.author import Author
from app.repositories.base import BaseRepository, Violations


class AuthorRepository(BaseRepository[Author]):
    """Stores authors."""

    model = Author
    push = PkgID.AUTHORS_CHANGED
    violations: ClassVar[Violations] = {
        "uq_author_name": lambda row: AuthorExists(row["name"]),
        "fk_book_author_id_author": lambda row: AuthorHasBooks(row["id"]),
    }

    async def get_by_name(self, name: str) -> Author | None:
        """Return the author of this name, or None."""
        return await self.session.scalar(
            select(Author).where(col(Author.name) == name)
        )
