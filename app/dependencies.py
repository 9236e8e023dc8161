"""What endpoints ask for, by type."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncSession

from app.protocols import IdentityProvider
from app.repositories.author import AuthorRepository
from app.repositories.book import BookRepository
from app.schemas.user import UserModel

if TYPE_CHECKING:
    from app.lifespan import Container


async def get_container(request: Request) -> "Container":
    """Return what the process holds."""
    container: Container = request.state.container
    return container


ContainerDep = Annotated["Container", Depends(get_container)]


async def get_user(request: Request) -> UserModel:
    """Return who the request comes from; its route is not public."""
    user: UserModel = request.scope["user"]
    return user


async def get_identity_provider(container: ContainerDep) -> IdentityProvider:
    """Return who signs users in and out."""
    return container.keycloak


async def get_session(container: ContainerDep) -> AsyncIterator[AsyncSession]:
    """Open the request's unit of work."""
    async with container.database.unit_of_work() as session:
        yield session


CurrentUser = Annotated[UserModel, Depends(get_user)]
IdentityProviderDep = Annotated[
    IdentityProvider, Depends(get_identity_provider)
]
# Scope "function": committed before the answer is sent, so that no client
# is told of a write that then fails.
SessionDep = Annotated[AsyncSession, Depends(get_session, scope="function")]


async def get_author_repository(session: SessionDep) -> AuthorRepository:
    """Return the authors, as the request's unit of work has them."""
    return AuthorRepository(session)


async def get_book_repository(session: SessionDep) -> BookRepository:
    """Return the books, as the request's unit of work has them."""
    return BookRepository(session)


AuthorRepoDep = Annotated[AuthorRepository, Depends(get_author_repository)]
BookRepoDep = Annotated[BookRepository, Depends(get_book_repository)]
