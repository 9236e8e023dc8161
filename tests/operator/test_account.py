"""The operator's account in Keycloak, and what becomes of it without one."""

from typing import Any, cast

import pytest

from gatehouse_operator.errors import NotAllowed
from gatehouse_operator.keycloak.account import NEEDED, Account
from gatehouse_operator.keycloak.realms import Realms
from gatehouse_operator.sync.realm import RealmSync


class Keycloak:
    """One realm, whose name an account without rights is told as well."""

    def __init__(self, *clients: str) -> None:
        self._clients = clients
        self.given: list[str] = []

    async def get(self, *path: str, **query: str) -> Any:
        """Answer as Keycloak does."""
        if path[-1] == "clients":
            name = query["clientId"]
            return [{"id": name}] if name in self._clients else []
        if path[-1] == "roles":
            return [{"name": name} for name in (*NEEDED, "impersonation")]
        return {"id": "user"} if path[-1] == "service-account-user" else []

    async def post(self, *_: str, body: list[dict[str, str]]) -> None:
        """Give roles."""
        self.given += [one["name"] for one in body]

    async def find(self, realm: str) -> dict[str, Any]:
        """Return as much of the realm as the account may see."""
        full = {"realm": realm, "enabled": True}
        return full if self.given else {"realm": realm}

    def forget_token(self) -> None:
        """There is none."""


def bring(keycloak: Keycloak) -> RealmSync:
    """What brings realms, so far as it finds them."""
    fake = cast("Any", keycloak)
    account = Account("operator", fake, fake)
    nothing = cast("Any", None)
    return RealmSync(nothing, Realms(fake), account, nothing, "cluster")


async def test_an_account_that_was_made_anew_is_given_its_rights() -> None:
    """Keycloak tells it the realm's name, which is no right in it."""
    keycloak = Keycloak("shop-realm", "operator")
    found = await bring(keycloak)._find("shop")
    assert {"realm": "shop", "enabled": True} == found
    assert NEEDED == set(keycloak.given)


async def test_an_account_that_is_gone_is_told_of() -> None:
    """The realm's condition is to say so, not a traceback."""
    with pytest.raises(NotAllowed):
        await bring(Keycloak("shop-realm"))._find("shop")
