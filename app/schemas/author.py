"""Authors as clients send and see them."""

from typing import TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from app.schemas.page import (
    CursorPage,
    CursorQuery,
    Id,
    Input,
    Name,
    Page,
    PageQuery,
    Patch,
    Query,
)


class AuthorInput(Input):
    """An author to create, or to put in the place of another."""

    name: Name


class AuthorUpdate(AuthorInput):
    """All new values of an author."""

    id: Id


class AuthorPatch(Patch):
    """Some new values of an author."""

    name: Name = Field(default_factory=str)


class AuthorPartialUpdate(AuthorPatch):
    """Some new values of an author, and which author."""

    id: Id


class AuthorRead(BaseModel):
    """An author."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    name: str


# By name, because to parametrise a model again takes as long as to make one.
AuthorCursorPage: TypeAlias = CursorPage[AuthorRead]
AuthorPage: TypeAlias = Page[AuthorRead]


class AuthorFilters(Query):
    """Equality on these fields; what is not given does not filter."""

    id: Id | None = None
    name: Name | None = None


class GetAuthors(CursorQuery):
    """Which authors to list, after a cursor."""

    # Not a default: pydantic would copy it deeply for each message.
    filters: AuthorFilters = Field(default_factory=AuthorFilters)


class GetPaginatedAuthors(PageQuery):
    """Which authors to list, by page number."""

    # Not a default: pydantic would copy it deeply for each message.
    filters: AuthorFilters = Field(default_factory=AuthorFilters)


class AuthorCursorQuery(AuthorFilters, CursorQuery):
    """`GetAuthors` as query parameters."""

    def to_request(self) -> GetAuthors:
        """Return the same question as the socket asks it."""
        filters = AuthorFilters(id=self.id, name=self.name)
        return GetAuthors(limit=self.limit, after=self.after, filters=filters)


class AuthorPageQuery(AuthorFilters, PageQuery):
    """`GetPaginatedAuthors` as query parameters."""

    def to_request(self) -> GetPaginatedAuthors:
        """Return the same question as the socket asks it."""
        return GetPaginatedAuthors(
            page=self.page,
            per_page=self.per_page,
            filters=AuthorFilters(id=self.id, name=self.name),
        )
