"""What one layer needs of another, without naming who provides it."""

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from app.schemas.auth import TokenSet
from app.schemas.user import UserModel

if TYPE_CHECKING:
    from app.managers.outlet import Outlet

M = TypeVar("M")


class IdentityProvider(Protocol):
    """Signs users in and out; Keycloak in every real installation.

    Every method raises `Unauthenticated` for refused credentials and
    `Unavailable` when the provider cannot be reached.
    """

    async def login(self, username: str, password: str) -> TokenSet:
        """Exchange a password for tokens."""

    async def refresh(self, refresh_token: str) -> TokenSet:
        """Exchange a refresh token for new tokens."""

    async def logout(self, refresh_token: str) -> None:
        """End the session that the refresh token belongs to."""


class OpenSocket(Protocol):
    """A socket of this process, as whoever manages all of them sees it."""

    user: UserModel | None
    outlet: "Outlet"

    def go_away(self, reason: str) -> None:
        """Take no more messages, send the replies in flight, close."""

    def sign_out(self) -> None:
        """Close now, because the user's session has ended."""

    def keep_time(self) -> None:
        """Close when the user's token ends, by the clock as it is now."""


class Repository(Protocol[M]):
    """Stores one kind of thing."""

    async def get_by_id(self, entity_id: int) -> M | None:
        """Return the thing with this id, or None."""

    async def exists(self, **filters: Any) -> bool:
        """Say whether anything has these values."""

    async def create(self, instance: M) -> M:
        """Store a new thing and return it with its id."""

    async def update(self, instance: M) -> M:
        """Store what was changed on a loaded thing."""

    async def delete(self, instance: M) -> None:
        """Remove a thing."""
