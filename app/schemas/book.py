"""Books as clients send and see them."""

from typing import TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from app.schemas.author import AuthorRead
from app.schemas.page import (
    CursorPage,
    CursorQuery,
    Id,
    Input,
    Name,
    Patch,
    Query,
)


class BookInput(Input):
    """A book to create, or to put in the place of another."""

    title: Name
    author_id: Id


class BookUpdate(BookInput):
    """All new values of a book."""

    id: Id


class BookPatch(Patch):
    """Some new values of a book."""

    title: Name = Field(default_factory=str)
    author_id: Id = Field(default_factory=int)


class BookPartialUpdate(BookPatch):
    """Some new values of a book, and which book."""

    id: Id


class BookRow(BaseModel):
    """A book as it is stored."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    title: str
    author_id: int


class BookRead(BookRow):
    """A book and who wrote it."""

    author: AuthorRead


BookCursorPage: TypeAlias = CursorPage[BookRead]


class BookFilters(Query):
    """Equality on these fields; what is not given does not filter."""

    id: Id | None = None
    title: Name | None = None
    author_id: Id | None = None


class GetBooks(CursorQuery):
    """Which books to list, after a cursor."""

    # Not a default: pydantic would copy it deeply for each message.
    filters: BookFilters = Field(default_factory=BookFilters)


class GetAuthorBooks(CursorQuery):
    """Which books of one author to list, after a cursor."""

    author_id: Id


class BookCursorQuery(BookFilters, CursorQuery):
    """`GetBooks` as query parameters."""

    def to_request(self) -> GetBooks:
        """Return the same question as the socket asks it."""
        filters = BookFilters(
            id=self.id, title=self.title, author_id=self.author_id
        )
        return GetBooks(limit=self.limit, after=self.after, filters=filters)
