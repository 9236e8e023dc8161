"""What a socket's handshake says: its origin, its token, its refusal."""

from collections.abc import Iterable
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import Send

from app.auth import bearer_token
from app.constants import WS_SUBPROTOCOL, WS_TOKEN_SUBPROTOCOL_PREFIX
from app.exceptions import AppError, OriginDenied
from app.types import Token
from app.utils.problems import problem_response

_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


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
    if origin not in allowed and "*" not in allowed:
        message = "This origin may not open sockets here"
        raise OriginDenied(message)


def _is_same(origin: str, host: str) -> bool:
    scheme, _, netloc = origin.partition("://")
    port = _DEFAULT_PORTS.get(scheme)
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
