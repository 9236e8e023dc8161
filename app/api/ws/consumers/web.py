"""The socket `/web`."""

from collections.abc import Awaitable

from starlette.types import Receive, Scope, Send

from app.api.ws.dispatch import dispatch
from app.api.ws.handshake import deny
from app.api.ws.websocket import PackageAuthWebSocketEndpoint
from app.exceptions import AppError, NotFound, RateLimited
from app.middlewares.rate_limit import charge_address
from app.schemas.message import ResponseModel


class Web(PackageAuthWebSocketEndpoint):
    """Answers each message with what its package's handler says."""

    def on_receive(self, text: str | None) -> Awaitable[ResponseModel]:
        """Send a message down its path."""
        return dispatch(self.container, self, self.user, text)


ENDPOINTS = {"/web": Web}


async def serve_socket(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve the socket of a path, or say that there is none.

    Nobody is signed in there, so that counts for the client's address.
    """
    endpoint = ENDPOINTS.get(scope["path"])
    if endpoint is not None:
        await endpoint(scope, receive, send)
        return
    await receive()
    error: AppError = NotFound("There is nothing at this path")
    try:
        await charge_address(scope)
    except RateLimited as refusal:
        error = refusal
    await deny(send, error, scope["state"]["request_id"])
