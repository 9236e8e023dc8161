"""The name and the log line of a request."""

import re
import time
from collections.abc import Sequence
from uuid import uuid4

import structlog
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.constants import PROBES
from app.types import RequestId
from app.utils.ip import Network, client_address

# What looks like a token is no name: names are in logs, answers, audit rows.
_VALID = re.compile(rb"(?!.*eyJ)[\w.:/+=-]{1,128}", re.ASCII)

logger = structlog.get_logger(__name__)


class RequestContextMiddleware:
    """Gives each request an id, in logs and answers, and logs its end.

    The id is the client's `X-Request-ID` where that is up to 128 harmless
    characters, else a new UUID. A socket has one for its whole life.

    Args:
        access_log: Whether ends are logged.
        trusted_proxies: Who may say where a request came from.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        access_log: bool,
        trusted_proxies: Sequence[Network],
    ) -> None:
        self.app = app
        self.trusted_proxies = trusted_proxies
        self.access_log = access_log

    async def __call__(
        self, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Serve one request or socket."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        request_id = _request_id(scope)
        scope["state"]["request_id"] = request_id
        address = client_address(scope, self.trusted_proxies)
        scope["state"]["address"] = address
        started = time.perf_counter()
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] in _STARTS:
                status = int(message.get("status", 101))
                message.setdefault("headers", [])
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self.app(scope, receive, send_with_id)
            finally:
                if self.access_log:
                    _log_end(scope, status, time.perf_counter() - started)


def _log_end(scope: Scope, status: int, seconds: float) -> None:
    """Log what was asked and how it ended; never the query or a header."""
    log = logger.debug if scope["path"] in PROBES else logger.info
    route = scope["state"].get("route")
    log(
        "request" if scope["type"] == "http" else "socket",
        method=scope.get("method", "GET"),
        path=scope["path"],
        route=route.template if route else None,
        status=status,
        duration_ms=round(seconds * 1000, 1),
    )


_STARTS = (
    "http.response.start",
    "websocket.accept",
    "websocket.http.response.start",
)


def _request_id(scope: Scope) -> RequestId:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _VALID.fullmatch(value):
            return RequestId(value.decode())
    return RequestId(str(uuid4()))
