"""The Secrets with which clients sign in.

Keycloak has the truth: a Secret that is edited or gone is written again with
what Keycloak has, and a secret that somebody has made anew there arrives in
the Secret. When it was made Keycloak knows as well, so a rotation is due or
not, whatever happened to the operator meanwhile.
"""

import hashlib
import re
import time
from dataclasses import dataclass
from typing import Any, Final

from lightkube.resources.core_v1 import Secret

from gatehouse_operator.errors import NotOwned
from gatehouse_operator.keycloak.admin import AdminApi
from gatehouse_operator.keycloak.clients import (
    CREATED,
    Clients,
    Place,
    Representation,
)
from gatehouse_operator.kube import MADE_FOR_CLIENT, Kube, owner_of, values
from gatehouse_operator.reconcile.status import SECRET_READY, Fact
from gatehouse_operator.resources.client import KeycloakClientSpec
from gatehouse_operator.resources.resource import Resource

_URLS: Final = {
    "issuer": "issuer",
    "authorization-url": "authorization_endpoint",
    "token-url": "token_endpoint",
    "userinfo-url": "userinfo_endpoint",
    "jwks-url": "jwks_uri",
    "end-session-url": "end_session_endpoint",
}
_UNITS: Final = {"m": 60, "h": 3600}
_SOON_SECONDS: Final = 1.0
_KEEP_SECONDS: Final = 60.0


@dataclass(frozen=True)
class SecretReport:
    """How it is with a Secret.

    Args:
        fact: Its condition.
        hash: Differs with the secret, and does not tell it.
        told: What is to be told.
        again_in: When it is to be rotated, in seconds.
    """

    fact: Fact
    hash: str | None = None
    told: tuple[tuple[str, str], ...] = ()
    again_in: float | None = None


class ClientSecrets:
    """Keeps the Secrets.

    Args:
        kube: The cluster.
        clients: Keycloak's clients.
        api: Tells the URLs of a realm.
    """

    def __init__(self, kube: Kube, clients: Clients, api: AdminApi) -> None:
        self._kube = kube
        self._clients = clients
        self._api = api
        self._urls: dict[str, tuple[float, dict[str, str]]] = {}

    async def bring(
        self,
        resource: Resource,
        spec: KeycloakClientSpec,
        place: Place,
        found: Representation,
    ) -> SecretReport:
        """Make the Secret of a client as it should be.

        Args:
            resource: The resource.
            spec: Its spec.
            place: Where the client is.
            found: The client.

        Raises:
            Trouble: It is not so.
        """
        wish = spec.secret
        if wish is None or spec.type == "public":
            await self._remove_others(resource, None)
            return SecretReport(Fact("True", "NotNeeded"))
        if wish.existing is not None:
            await self._remove_others(resource, None)
            digest = _hash(resource, str(found.get("secret") or ""))
            return SecretReport(Fact("True", "Existing"), digest)
        name = str(wish.name)
        there = await self._kube.secret(name)
        if there is not None and owner_of(there) != resource.uid:
            says = f"Secret {name} is there, and is not ours"
            return SecretReport(Fact("False", NotOwned.reason, says))
        told: list[tuple[str, str]] = []
        left = _left(wish.rotate_every, found)
        if left is not None and left <= 0:
            left = await self._rotate(spec, place, told)
        secret = await self._clients.secret(place)
        data = {
            "client-id": spec.client_id,
            "client-secret": secret,
            **await self._urls_of(place.realm),
        }
        if await self._write(resource, name, there, data):
            told.append(("SecretWritten", f"Secret {name}"))
        await self._remove_others(resource, name)
        return SecretReport(
            Fact("True", "Written"),
            _hash(resource, secret),
            tuple(told),
            None if left is None else left + _SOON_SECONDS,
        )

    async def _rotate(
        self,
        spec: KeycloakClientSpec,
        place: Place,
        told: list[tuple[str, str]],
    ) -> float | None:
        """Have another secret made, unless that has just been done.

        Returns:
            The time until the next one, in seconds.
        """
        rotate_every = spec.secret.rotate_every if spec.secret else None
        now = await self._clients.find(place.realm, spec.client_id)
        left = _left(rotate_every, now or {})
        if left is None or left > 0:
            return left
        says = "works no more: the realm has no policy for that"
        if await self._clients.new_secret(place):
            says = "works until Keycloak's policy ends it"
        told.append(("Rotated", f"the old secret {says}"))
        return _seconds(str(rotate_every))

    async def _write(
        self,
        resource: Resource,
        name: str,
        there: Secret | None,
        data: dict[str, str],
    ) -> bool:
        """Write a Secret, if it is not so already."""
        if there is None:
            await self._kube.create_secret(name, data, resource)
            return True
        labels = (there.metadata and there.metadata.labels) or {}
        has_label = labels.get(MADE_FOR_CLIENT) == "true"
        if data.items() <= values(there).items() and has_label:
            return False
        await self._kube.put_right(name, data)
        return True

    async def _remove_others(
        self, resource: Resource, name: str | None
    ) -> None:
        """Remove what an earlier spec has asked for.

        That is done when the condition says that all is well with this one;
        the status as a whole may speak of a spec that was not brought yet.
        """
        said = resource.condition(SECRET_READY)
        if (said.get("status"), said.get("observedGeneration")) == (
            "True",
            resource.generation,
        ):
            return
        for one in await self._kube.secrets():
            its_name = one.metadata and one.metadata.name
            if its_name and its_name != name and owner_of(one) == resource.uid:
                await self._kube.delete_secret(its_name)

    async def _urls_of(self, realm: str) -> dict[str, str]:
        """Return the URLs of a realm, which are others if it is moved."""
        until, urls = self._urls.get(realm, (0.0, {}))
        now = time.monotonic()
        if now >= until:
            told = await self._api.discovery(realm)
            urls = {key: str(told[name]) for key, name in _URLS.items()}
            self._urls[realm] = now + _KEEP_SECONDS, urls
        return urls


def _left(rotate_every: str | None, found: dict[str, Any]) -> float | None:
    """Return the time until a secret is too old, in seconds."""
    if rotate_every is None:
        return None
    made_at = (found.get("attributes") or {}).get(CREATED, "")
    age = time.time() - float(made_at) if made_at.isdigit() else float("inf")
    return _seconds(rotate_every) - age


def _seconds(duration: str) -> float:
    number, unit = re.fullmatch(r"(\d+)([mh])", duration).groups()  # type: ignore[union-attr]  # the model has checked it
    return float(number) * _UNITS[unit]


def _hash(resource: Resource, secret: str) -> str:
    """Say a little of a secret: too little to try guesses on."""
    text = f"{resource.uid} {secret}"
    return hashlib.sha256(text.encode()).hexdigest()[:8]
