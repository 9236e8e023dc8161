"""What can be done with authors."""

from app.commands.base import BaseCommand
from app.exceptions import AuthorNotFound
from app.models.author import Author
from app.repositories.author import AuthorRepository
from app.schemas.author import (
    AuthorCursorPage,
    AuthorInput,
    AuthorPage,
    AuthorPartialUpdate,
    AuthorRead,
    AuthorUpdate,
    GetAuthors,
    GetPaginatedAuthors,
)


class CreateAuthorCommand(BaseCommand[AuthorInput, AuthorRead]):
    """Stores a new author."""

    def __init__(self, authors: AuthorRepository) -> None:
        self.authors = authors

    async def execute(self, input_data: AuthorInput) -> AuthorRead:
        """Store the author.

        Raises:
            AuthorExists: The name is taken.
        """
        author = await self.authors.create(Author(name=input_data.name))
        return AuthorRead.model_validate(author)


class GetAuthorCommand(BaseCommand[int, AuthorRead]):
    """Finds an author by id."""

    def __init__(self, authors: AuthorRepository) -> None:
        self.authors = authors

    async def execute(self, input_data: int) -> AuthorRead:
        """Find the author.

        Raises:
            AuthorNotFound: There is none.
        """
        author = await self.authors.find(input_data)
        if author is None:
            raise AuthorNotFound(input_data)
        return AuthorRead.model_validate(author)


class UpdateAuthorCommand(
    BaseCommand[AuthorUpdate | AuthorPartialUpdate, AuthorRead]
):
    """Changes an author: all of it, or the fields that are given."""

    def __init__(self, authors: AuthorRepository) -> None:
        self.authors = authors

    async def execute(
        self, input_data: AuthorUpdate | AuthorPartialUpdate
    ) -> AuthorRead:
        """Change the author.

        Raises:
            AuthorNotFound: There is none.
            AuthorExists: The name is taken.
        """
        author = await self.authors.get_for_update(input_data.id)
        if author is None:
            raise AuthorNotFound(input_data.id)
        author.sqlmodel_update(
            input_data.model_dump(exclude={"id"}, exclude_unset=True)
        )
        author = await self.authors.update(author)
        return AuthorRead.model_validate(author)


class DeleteAuthorCommand(BaseCommand[int, None]):
    """Removes an author who has no books."""

    def __init__(self, authors: AuthorRepository) -> None:
        self.authors = authors

    async def execute(self, input_data: int) -> None:
        """Remove the author.

        Raises:
            AuthorNotFound: There is none.
            AuthorHasBooks: There are books by this author.
        """
        author = await self.authors.get_for_update(input_data)
        if author is None:
            raise AuthorNotFound(input_data)
        await self.authors.delete(author)


class ListAuthorsCommand(BaseCommand[GetAuthors, AuthorCursorPage]):
    """Lists authors, after a cursor."""

    def __init__(self, authors: AuthorRepository) -> None:
        self.authors = authors

    async def execute(self, input_data: GetAuthors) -> AuthorCursorPage:
        """List the authors.

        Raises:
            InvalidInput: The cursor is none.
        """
        authors, meta = await self.authors.list_after(
            input_data.limit, input_data.after, vars(input_data.filters)
        )
        return AuthorCursorPage.of(authors, meta)


class PaginateAuthorsCommand(BaseCommand[GetPaginatedAuthors, AuthorPage]):
    """Lists authors, by page number."""

    def __init__(self, authors: AuthorRepository) -> None:
        self.authors = authors

    async def execute(self, input_data: GetPaginatedAuthors) -> AuthorPage:
        """List the authors."""
        authors, meta = await self.authors.paginate(
            input_data.page, input_data.per_page, vars(input_data.filters)
        )
        return AuthorPage.of(authors, meta)
