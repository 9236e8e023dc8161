"""What a socket's handshake says: its origin, its token, its refusal."""

from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import Scope, Send

from app.auth import bearer_token
from app.constants import (
    DEFAULT_PORTS,
    WS_SUBPROTOCOL,
    WS_TOKEN_SUBPROTOCOL_PREFIX,
)
from app.exceptions import (
    AppError,
    NotFound,
    OriginDenied,
    Unauthenticated,
)
from app.middlewares.rate_limit import charge_address
from app.types import Token
from app.utils.problems import problem_response

if TYPE_CHECKING:
    from app.lifespan import Container


async def find_token(container: "Container", scope: Scope) -> Token | None:
    """Return the token of a handshake that may go on.

    One that brings no token, or something that is none, is counted as its
    address' own.

    Raises:
        NotFound: There are no sockets on this port.
        RateLimited: Too many have come from this address.
        OriginDenied: It comes from a page of another site.
        Unauthenticated: It brings something that is no bearer token.
    """
    settings = container.settings
    if scope["server"][1] == settings.management_port:
        raise NotFound("There is nothing at this path")
    connection = HTTPConnection(scope)
    check_origin(connection.headers, settings.ws_allowed_origins)
    container.limits.refuse_exhausted(scope["state"]["address"])
    enabled = settings.ws_query_token_enabled
    try:
        token = handshake_token(connection, query_enabled=enabled)
    except Unauthenticated:
        await charge_address(scope)
        raise
    if token is None:
        await charge_address(scope)
    return token


def check_origin(headers: Headers, allowed: Iterable[str]) -> None:
    """Refuse a page of another site.

    A handshake without `Origin` does not come from a browser and is fine.

    Args:
        headers: The handshake's.
        allowed: Origins (`https://app.example.org`) besides the service's
            own; `*` stands for every one.

    Raises:
        OriginDenied: The page is neither from here nor allowed.
    """
    origin = headers.get("origin")
    if origin is None or _is_same(origin, headers.get("host", "")):
        return
    if origin.lower() not in allowed and "*" not in allowed:
        message = "This origin may not open sockets here"
        raise OriginDenied(message)


def _is_same(origin: str, host: str) -> bool:
    scheme, _, netloc = origin.partition("://")
    port = DEFAULT_PORTS.get(scheme)
    if port is None or not netloc:
        return False
    return netloc.lower().removesuffix(port) == host.lower().removesuffix(port)


def handshake_token(
    connection: HTTPConnection, *, query_enabled: bool
) -> Token | None:
    """Return the token of a handshake, or None where it brings none.

    The first of these that is there counts: the `Authorization` header, the
    subprotocol `bearer.<token>`, the query's `Authorization`.

    Args:
        connection: The handshake.
        query_enabled: Whether the query is looked at.

    Raises:
        Unauthenticated: It brings something that is no bearer token.
    """
    header = connection.headers.get("authorization")
    if header is not None:
        return bearer_token(header)
    for name in connection.scope["subprotocols"]:
        if name.startswith(WS_TOKEN_SUBPROTOCOL_PREFIX):
            return Token(name.removeprefix(WS_TOKEN_SUBPROTOCOL_PREFIX))
    if not query_enabled:
        return None
    query = parse_qs(connection.scope["query_string"].decode("latin-1"))
    values = query.get("Authorization")
    return bearer_token(values[0]) if values else None


def accepted_subprotocol(offered: Iterable[str]) -> str | None:
    """Choose ours where it is offered; never the one with the token."""
    return WS_SUBPROTOCOL if WS_SUBPROTOCOL in offered else None


async def deny(send: Send, error: AppError, request_id: str) -> None:
    """Answer the handshake with a problem document instead of a socket."""
    response = problem_response(error, request_id)
    await send(
        {
            "type": "websocket.http.response.start",
            "status": response.status_code,
            "headers": response.raw_headers,
        }
    )
    await send({"type": "websocket.http.response.body", "body": response.body})
