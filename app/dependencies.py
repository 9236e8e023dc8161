"""What endpoints ask for, by type."""

from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request

from app.managers.session_manager import SessionManager
from app.protocols import IdentityProvider
from app.repositories.author import AuthorRepository
from app.repositories.book import BookRepository
from app.repositories.user_action import UserActionRepository
from app.schemas.user import UserModel
from app.storage.unit_of_work import UnitOfWork
from app.utils.logout_token import LogoutTokens

if TYPE_CHECKING:
    from app.lifespan import Container


async def get_container(request: Request) -> "Container":
    """Return what the process holds."""
    container: Container = request.scope["state"]["container"]
    return container


ContainerDep = Annotated["Container", Depends(get_container)]


async def get_user(request: Request) -> UserModel:
    """Return who the request comes from; its route is not public."""
    user: UserModel = request.scope["user"]
    return user


async def get_identity_provider(container: ContainerDep) -> IdentityProvider:
    """Return who signs users in and out."""
    return container.keycloak


async def get_session(request: Request) -> UnitOfWork:
    """Return the request's unit of work, which is opened before the route."""
    session: UnitOfWork = request.scope["state"]["session"]
    return session


async def get_sessions(container: ContainerDep) -> SessionManager:
    """Return what knows of sessions that have ended."""
    return container.sessions


async def get_logout_tokens(container: ContainerDep) -> LogoutTokens:
    """Return what verifies logout tokens."""
    return container.logout_tokens


CurrentUser = Annotated[UserModel, Depends(get_user)]
SessionsDep = Annotated[SessionManager, Depends(get_sessions)]
LogoutTokensDep = Annotated[LogoutTokens, Depends(get_logout_tokens)]
IdentityProviderDep = Annotated[
    IdentityProvider, Depends(get_identity_provider)
]
SessionDep = Annotated[UnitOfWork, Depends(get_session)]


async def get_author_repository(session: SessionDep) -> AuthorRepository:
    """Return the authors, as the request's unit of work has them."""
    return AuthorRepository(session)


async def get_user_action_repository(
    session: SessionDep,
) -> UserActionRepository:
    """Return what users have done, as the request's unit of work has it."""
    return UserActionRepository(session)


async def get_book_repository(session: SessionDep) -> BookRepository:
    """Return the books, as the request's unit of work has them."""
    return BookRepository(session)


AuthorRepoDep = Annotated[AuthorRepository, Depends(get_author_repository)]
BookRepoDep = Annotated[BookRepository, Depends(get_book_repository)]
UserActionRepoDep = Annotated[
    UserActionRepository, Depends(get_user_action_repository)
]
