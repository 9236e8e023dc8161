"""Keycloak's events, read by the service in its own name.

The service's token is kept until shortly before it expires, or until
Keycloak refuses it (a realm's "not before" concerns it, too), so that a look
costs two requests.
"""

import asyncio
from time import monotonic
from typing import Any, Final, TypeVar

import httpx
import msgspec

from app.constants import KC_EVENTS_PAGE_SIZE
from app.exceptions import Unavailable
from app.managers.session_ends import (
    ADMIN_OPERATIONS,
    ADMIN_RESOURCES,
    USER_EVENTS,
    AdminEvent,
    UserEvent,
)
from app.settings import Settings

T = TypeVar("T")
E = TypeVar("E", UserEvent, AdminEvent)

_RENEWED_BEFORE_SECONDS: Final = 10


class ServiceToken(msgspec.Struct, frozen=True):
    """The answer to client credentials."""

    access_token: str
    expires_in: int


class KeycloakEvents:
    """Reads a realm's events.

    Args:
        settings: Where Keycloak is, and the service's own client.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._timeout = settings.keycloak_timeout_seconds
        self._token = ""
        self._token_until = 0.0
        self._client = httpx.AsyncClient(
            timeout=self._timeout, verify=settings.keycloak_tls
        )

    async def user_events(self, since: int) -> list[UserEvent]:
        """Return the users' events that may end a session.

        Args:
            since: Milliseconds since the epoch, on Keycloak's clock.

        Raises:
            Unavailable: Keycloak is away, or refuses.
        """
        params = {"dateFrom": since, "type": USER_EVENTS}
        return await self._all("events", UserEvent, params)

    async def admin_events(
        self, since: int, known: frozenset[str]
    ) -> list[AdminEvent]:
        """Return the administrators' events that may end a session.

        Where Keycloak does not keep what was sent, a changed user is
        returned as he is now.

        Args:
            since: Milliseconds since the epoch, on Keycloak's clock.
            known: Ids of events that are returned as Keycloak keeps them.

        Raises:
            Unavailable: Keycloak is away, or refuses.
        """
        params = {
            "dateFrom": since,
            "operationTypes": ADMIN_OPERATIONS,
            "resourceTypes": ADMIN_RESOURCES,
        }
        events = await self._all("admin-events", AdminEvent, params)
        return [
            event if event.id in known else await self._complete(event)
            for event in events
        ]

    async def close(self) -> None:
        """Close the connections to Keycloak."""
        await self._client.aclose()

    async def _complete(self, event: AdminEvent) -> AdminEvent:
        user_id = event.changed_user
        if user_id is None or event.representation is not None:
            return event
        response = await self._get(f"users/{user_id}", {})
        if response.status_code == httpx.codes.NOT_FOUND:
            return event  # his removal is an event of its own
        return msgspec.structs.replace(event, representation=response.text)

    async def _all(
        self, what: str, kind: type[E], params: dict[str, Any]
    ) -> list[E]:
        """Read every page; what arrives meanwhile only shifts them down."""
        events: list[E] = []
        size = KC_EVENTS_PAGE_SIZE
        while True:
            page = {"first": len(events), "max": size, **params}
            response = await self._get(what, page)
            found = _decode(response, list[kind])  # type: ignore[valid-type]  # a type of E
            events += found
            if len(found) < size:
                return events

    async def _get(self, what: str, params: dict[str, Any]) -> httpx.Response:
        """Ask again, with a new token, if the one we had is refused."""
        response = await self._ask(what, params)
        if response.status_code == httpx.codes.UNAUTHORIZED:
            self._token_until = 0.0
            response = await self._ask(what, params)
        if response.status_code not in {httpx.codes.OK, httpx.codes.NOT_FOUND}:
            raise Unavailable(f"Keycloak answers {response.status_code}")
        return response

    async def _ask(self, what: str, params: dict[str, Any]) -> httpx.Response:
        url = f"{self._settings.realm_admin_url}/{what}"
        headers = {"Authorization": f"Bearer {await self._service_token()}"}
        return await self._send("GET", url, params=params, headers=headers)

    async def _service_token(self) -> str:
        if self._token_until <= monotonic():
            answer = await self._sign_in()
            life = answer.expires_in - _RENEWED_BEFORE_SECONDS
            self._token_until = monotonic() + life
            self._token = answer.access_token
        return self._token

    async def _sign_in(self) -> ServiceToken:
        secret = self._settings.keycloak_service_client_secret
        form = {
            "grant_type": "client_credentials",
            "client_id": self._settings.keycloak_service_client_id,
            "client_secret": secret.get_secret_value() if secret else "",
        }
        url = f"{self._settings.realm_url}/protocol/openid-connect/token"
        response = await self._send("POST", url, data=form)
        if response.status_code != httpx.codes.OK:
            client = self._settings.keycloak_service_client_id
            raise Unavailable(f"Keycloak does not know us as {client}")
        return _decode(response, ServiceToken)

    async def _send(
        self, method: str, url: str, **options: Any
    ) -> httpx.Response:
        try:
            async with asyncio.timeout(self._timeout):
                return await self._client.request(method, url, **options)
        except (httpx.HTTPError, TimeoutError) as error:
            kind = type(error).__name__
        raise Unavailable(f"Keycloak cannot be asked: {kind}")


def _decode(response: httpx.Response, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(response.content, type=kind)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        pass
    raise Unavailable("Keycloak's answer is not understood")
