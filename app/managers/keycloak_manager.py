"""Keycloak, for signing users in and out; tokens are verified elsewhere.

python-keycloak's exceptions carry the answer's body and, as their cause,
the request with the password in it. They are therefore translated here,
once, and ours are raised when theirs are gone: no cause and no context.
"""

import asyncio
import re
from collections.abc import Coroutine
from math import ceil
from typing import Any, Final

import msgspec
import structlog
from keycloak import KeycloakOpenID
from keycloak.exceptions import KeycloakError
from pydantic import ValidationError

from app.exceptions import (
    AppError,
    InvalidField,
    InvalidInput,
    Unauthenticated,
    Unavailable,
)
from app.schemas.auth import TokenSet
from app.settings import Settings

# One sentence for an unknown user, a wrong password and a disabled account.
_LOGIN_REFUSED: Final = "The user name or the password is wrong"
_SESSION_REFUSED: Final = "The refresh token is not valid, or it has expired"
_NOT_SET_UP: Final = (
    "The account is not fully set up: sign in on Keycloak's own page first"
)
# What python-keycloak raises where the answer is not what it expects.
_NO_JSON_OBJECT: Final = (TypeError, RecursionError)
_UNREADABLE: Final = re.compile("[\0\ud800-\udfff]")

logger = structlog.get_logger(__name__)


class Refusal(msgspec.Struct, frozen=True):
    """An OAuth 2.0 error answer (RFC 6749, 5.2)."""

    error: str = ""
    error_description: str = ""


class KeycloakManager:
    """Keycloak as an `IdentityProvider`."""

    def __init__(self, settings: Settings) -> None:
        secret = settings.keycloak_client_secret
        self._timeout = settings.keycloak_timeout_seconds
        self._client = KeycloakOpenID(
            server_url=str(settings.keycloak_base_url).rstrip("/") + "/",
            realm_name=settings.keycloak_realm,
            client_id=settings.keycloak_client_id,
            client_secret_key=secret.get_secret_value() if secret else None,
            verify=settings.keycloak_tls,  # type: ignore[arg-type]  # httpx wants a context
            timeout=ceil(self._timeout),
        )

    async def login(self, username: str, password: str) -> TokenSet:
        """Exchange a password for tokens.

        Raises:
            InvalidField: The text cannot be sent to Keycloak.
            Unauthenticated: Keycloak refuses; it is not told whether there
                is such a user.
            Unavailable: Keycloak is away or refuses this service.
        """
        _check_readable(username=username, password=password)
        call = self._client.a_token(username, password)
        return _token_set(await self._ask(call, _LOGIN_REFUSED))

    async def refresh(self, refresh_token: str) -> TokenSet:
        """Exchange a refresh token for new tokens.

        Raises:
            InvalidField: The text cannot be sent to Keycloak.
            Unauthenticated: The token is unknown, expired or revoked.
            Unavailable: Keycloak is away or refuses this service.
        """
        _check_readable(refresh_token=refresh_token)
        call = self._client.a_refresh_token(refresh_token)
        return _token_set(await self._ask(call, _SESSION_REFUSED))

    async def logout(self, refresh_token: str) -> None:
        """End the session that the refresh token belongs to.

        Raises:
            InvalidField: The text cannot be sent to Keycloak.
            Unauthenticated: The token is unknown, expired or revoked.
            Unavailable: Keycloak is away or refuses this service.
        """
        _check_readable(refresh_token=refresh_token)
        await self._ask(self._client.a_logout(refresh_token), _SESSION_REFUSED)

    async def close(self) -> None:
        """Close the connections to Keycloak."""
        await self._client.connection.aclose()

    async def _ask(
        self, call: Coroutine[Any, Any, dict[str, Any]], refused: str
    ) -> dict[str, Any]:
        try:
            async with asyncio.timeout(self._timeout):
                return await call
        except KeycloakError as error:
            failure = _translate(error, refused)
        except (TimeoutError, *_NO_JSON_OBJECT):
            failure = _unavailable()
        raise failure


def _check_readable(**texts: str) -> None:
    for name, text in texts.items():
        if _UNREADABLE.search(text):
            message = "NUL and unpaired surrogates are not text"
            raise InvalidField(name, message, "unreadable")


def _translate(error: KeycloakError, refused: str) -> AppError:
    refusal = _refusal(error.response_body or b"{}")
    match refusal.error:
        case "invalid_grant":
            unfinished = "Account is not fully set up"
            if refusal.error_description == unfinished:
                return Unauthenticated(_NOT_SET_UP)
            return Unauthenticated(refused)
        case "invalid_request":
            return InvalidInput("Keycloak does not accept this input")
    logger.error(
        "keycloak failed", status=error.response_code, error=refusal.error
    )
    return _unavailable()


def _refusal(body: bytes) -> Refusal:
    try:
        return msgspec.json.decode(body, type=Refusal)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return Refusal()


def _token_set(answer: dict[str, Any]) -> TokenSet:
    try:
        return TokenSet.model_validate(answer)
    except ValidationError:
        pass
    raise _unavailable()


def _unavailable() -> Unavailable:
    return Unavailable("Keycloak cannot be asked at the moment")
