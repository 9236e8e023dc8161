"""Keycloak's admin API, over python-keycloak's connection.

The connection keeps the token: it asks for a new one before the old one
expires, and once more where Keycloak says 401. Here calls are bounded in
number, counted, and kept away from a Keycloak that is away; whatever goes
wrong is translated into one of `errors`.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

from keycloak import KeycloakOpenIDConnection
from keycloak.exceptions import (
    KeycloakConnectionError,
)
from keycloak.exceptions import (
    KeycloakError as LibraryError,
)

from gatehouse_operator.errors import (
    KeycloakAway,
    KeycloakError,
    NotAllowed,
    NotThere,
    Refused,
)
from gatehouse_operator.keycloak.admin import MASTER, AdminApi, Body
from gatehouse_operator.keycloak.breaker import Breaker
from gatehouse_operator.keycloak_metrics import (
    keycloak_call_seconds,
    keycloak_calls_total,
)

_CALLS_AT_ONCE: Final = 8
_SECONDS: Final = 30
"""The longest a call may take; a new realm's keys take seconds."""
_PAGE: Final = 200
_MOST_CHARACTERS: Final = 300
_AWAY: Final = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.REQUEST_TIMEOUT)


class KeycloakApi(AdminApi):
    """The admin API, as a client of the realm `master` may use it.

    Args:
        base_url: Where Keycloak is, as seen from here.
        client_id: The account.
        client_secret: Its secret.
        verify: A file with the authorities to trust; True for the system's.
    """

    def __init__(
        self,
        base_url: str,
        client_id: str,
        client_secret: str,
        verify: str | bool = True,
    ) -> None:
        self._connection = KeycloakOpenIDConnection(
            server_url=base_url.rstrip("/") + "/",
            realm_name=MASTER,
            client_id=client_id,
            client_secret_key=client_secret,
            grant_type="client_credentials",
            verify=verify,
            timeout=_SECONDS,
        )
        self._breaker = Breaker()
        self._places = asyncio.Semaphore(_CALLS_AT_ONCE)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._connection.aclose()

    async def get(self, *path: str, **query: str | int) -> Any:
        """Return what is there.

        Args:
            path: The parts of the path after `/admin/realms`.
            query: The query.

        Raises:
            KeycloakError: It is not answered.
        """
        return _read(await self._call("GET", path, query=query))

    async def get_all(self, *path: str, **query: str | int) -> list[Any]:
        """Return a whole list, which is read in pages."""
        found: list[Any] = []
        while True:
            page = await self.get(*path, first=len(found), max=_PAGE, **query)
            found += page
            if len(page) < _PAGE:
                return found

    async def find(self, *path: str, **query: str | int) -> Any | None:
        """Return what is there; None if it is not."""
        try:
            return await self.get(*path, **query)
        except NotThere:
            return None

    async def post(self, *path: str, body: Body | None = None) -> str:
        """Make something, and return the id that Keycloak has given it."""
        answer = await self._call("POST", path, body)
        location = answer.headers.get("Location", "")
        return str(location).rpartition("/")[2]

    async def ask(self, *path: str) -> Any:
        """Have something done, and return what Keycloak says of it."""
        return _read(await self._call("POST", path))

    async def put(self, *path: str, body: Body | None = None) -> None:
        """Change something."""
        await self._call("PUT", path, body)

    async def delete(self, *path: str, body: Body | None = None) -> None:
        """Remove something; what is not there is removed already."""
        try:
            await self._call("DELETE", path, body)
        except NotThere:
            return

    async def discovery(self, realm: str) -> dict[str, Any]:
        """Return what OpenID clients are told of a realm."""
        path = (
            f"realms/{quote(realm, safe='')}/.well-known/openid-configuration"
        )
        answer = await self._guarded(
            "GET", lambda: self._connection.a_raw_get(path)
        )
        found: dict[str, Any] = _read(answer)
        return found

    def forget_token(self) -> None:
        """Ask for a new token next: the rights are others now."""
        self._connection.token = None

    async def _call(
        self,
        verb: str,
        path: tuple[str, ...],
        body: Body | None = None,
        query: Mapping[str, str | int] | None = None,
    ) -> Any:
        url = "/".join(
            ("admin", "realms", *(quote(part, safe="") for part in path))
        )
        data = "" if body is None else json.dumps(body)
        connection = self._connection
        calls: dict[str, Callable[[], Awaitable[Any]]] = {
            "GET": lambda: connection.a_raw_get(url, **(query or {})),
            "POST": lambda: connection.a_raw_post(url, data=data),
            "PUT": lambda: connection.a_raw_put(url, data=data),
            "DELETE": lambda: connection.a_raw_delete(url, data=data),
        }
        return await self._guarded(verb, calls[verb])

    async def _guarded(
        self, verb: str, call: Callable[[], Awaitable[Any]]
    ) -> Any:
        async with self._places:
            self._breaker.check()
            began, status = time.monotonic(), "none"
            try:
                answer = await call()
                status = str(answer.status_code)
            except LibraryError as error:
                raise self._counted(_translated(error)) from None
            finally:
                keycloak_calls_total.labels(verb, status).inc()
                spent = time.monotonic() - began
                keycloak_call_seconds.labels(verb).observe(spent)
        failure = _error(answer)
        if failure is None:
            self._breaker.succeeded()
            return answer
        raise self._counted(failure)

    def _counted(self, error: KeycloakError) -> KeycloakError:
        if isinstance(error, KeycloakAway):
            self._breaker.failed(str(error))
        else:
            self._breaker.succeeded()
        return error


def _read(answer: Any) -> Any:
    try:
        return answer.json()
    except ValueError:
        raise KeycloakAway("Keycloak's answer is no JSON") from None


def _error(answer: Any) -> KeycloakError | None:
    status = int(answer.status_code)
    if status < HTTPStatus.BAD_REQUEST:
        return None
    says = _says(answer)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _AWAY:
        return KeycloakAway(
            f"Keycloak answers {status}",
            retry_after=_seconds(answer.headers.get("Retry-After", "")),
        )
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return NotAllowed(f"Keycloak answers {status}: {says}")
    if status == HTTPStatus.NOT_FOUND:
        return NotThere(says)
    return Refused(f"Keycloak answers {status}: {says}")


def _says(answer: Any) -> str:
    """Return Keycloak's own words, which have no credential in them."""
    try:
        said = answer.json()
    except ValueError:
        said = None
    if isinstance(said, dict):
        for key in ("errorMessage", "error_description", "error"):
            if said.get(key):
                return str(said[key])[:_MOST_CHARACTERS]
    return "it does not say why"


def _seconds(text: str) -> float:
    return float(text) if text.isdigit() else 0.0


def _translated(error: LibraryError) -> KeycloakError:
    """Translate what came while a token was asked for, or no answer."""
    code = getattr(error, "response_code", None) or 0
    if isinstance(error, KeycloakConnectionError) or not code:
        return KeycloakAway("Keycloak does not answer")
    if code >= HTTPStatus.INTERNAL_SERVER_ERROR or code in _AWAY:
        return KeycloakAway(f"Keycloak answers {code}")
    return NotAllowed(f"Keycloak gives the operator no token ({code})")
