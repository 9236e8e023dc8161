"""What the operator asks of Keycloak's admin API, whoever carries it there."""

from collections.abc import Mapping
from typing import Any, Final, Protocol

MASTER: Final = "master"
"""The realm of those who administer the others."""

Body = Mapping[str, Any] | list[Any]


class AdminApi(Protocol):
    """The admin API, as one account may use it.

    `path` is always the parts of the path after `/admin/realms`. Every call
    raises `KeycloakError` if it is not answered or not done.
    """

    async def get(self, *path: str, **query: str | int) -> Any:
        """Return what is there."""

    async def get_all(self, *path: str, **query: str | int) -> list[Any]:
        """Return a whole list, however long it is."""

    async def find(self, *path: str, **query: str | int) -> Any | None:
        """Return what is there; None if it is not."""

    async def post(self, *path: str, body: Body | None = None) -> str:
        """Make something, and return the id that Keycloak has given it."""

    async def ask(self, *path: str) -> Any:
        """Have something done, and return what Keycloak says of it."""

    async def put(self, *path: str, body: Body | None = None) -> None:
        """Change something."""

    async def delete(self, *path: str, body: Body | None = None) -> None:
        """Remove something; what is not there is removed already."""

    async def discovery(self, realm: str) -> dict[str, Any]:
        """Return what OpenID clients are told of a realm."""

    def forget_token(self) -> None:
        """Ask for a new token next: the rights are others now."""
