"""The name and the log line of a request."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Final

import structlog
from starlette.types import ASGIApp, Receive, Scope, Send
from structlog.typing import EventDict

from app.constants import PROBES
from app.logging import begin_log_context, log_context, log_together
from app.middlewares.answering import Answering
from app.utils.ip import Network, client_address
from app.utils.request_id import HEADER, request_id_of
from app.utils.tracing import current_trace

_SAID: Final = ("path", "request_id")
"""What of a line the client may have made up."""

_logger = structlog.get_logger(__name__)


class AccessLog:
    """Lines about requests and sockets that have ended.

    Those that end in one turn of the event loop are written together, at its
    end: one by one they take a fifth of all that a small request costs.

    Args:
        traced: Whether they tell of which span they are.
    """

    def __init__(self, *, traced: bool) -> None:
        self._traced = traced
        self._ended: list[EventDict] = []

    def add(self, scope: Scope, status: int, seconds: float) -> None:
        """Write a line soon; a request's has its id and its user."""
        if scope["path"] in PROBES:
            _logger.debug(**_end(scope, status, seconds))
            return
        if not self._ended:
            asyncio.get_running_loop().call_soon(self._write)
        end = _end(scope, status, seconds)
        if self._traced:
            end |= current_trace()
        self._ended.append({**log_context(), **end})

    def _write(self) -> None:
        ended, self._ended = self._ended, []
        said = [line[name] for line in ended for name in _SAID]
        log_together(__name__, ended, said)


class RequestContextMiddleware:
    """Gives each request an id, in logs and answers, and logs its end.

    The id is the client's `X-Request-ID` where that is up to 128 harmless
    characters, else 32 random digits. A socket has one for its whole life.

    Args:
        sockets: Where sockets go on; what is for HTTP costs them nothing.
        access_log: Whether ends are logged.
        traced: Whether there are spans.
        trusted_proxies: Who may say where a request came from.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        sockets: ASGIApp,
        access_log: bool,
        traced: bool,
        trusted_proxies: Sequence[Network],
    ) -> None:
        self.app = app
        self.sockets = sockets
        self.trusted_proxies = trusted_proxies
        self._access_log = AccessLog(traced=traced) if access_log else None

    async def __call__(
        self, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Serve one request or socket."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        request_id = request_id_of(scope["headers"])
        answering = Answering(send, (HEADER, request_id.encode()))
        scope["state"] |= {
            "request_id": request_id,
            "address": client_address(scope, self.trusted_proxies),
            "answering": answering,
        }
        begin_log_context({"request_id": request_id})
        app = self.app if scope["type"] == "http" else self.sockets
        try:
            await app(scope, receive, answering)
        finally:
            if self._access_log is not None:
                seconds = time.perf_counter() - started
                self._access_log.add(scope, answering.status, seconds)
            # It refers to the server's part of the request, which refers to
            # the scope: without it, all of that is gone at once.
            del scope["state"]["answering"]


def _end(scope: Scope, status: int, seconds: float) -> dict[str, Any]:
    """Tell what was asked and how it ended; never the query or a header."""
    place = scope["state"].get("place")
    return {
        "method": scope.get("method", "GET"),
        "path": scope["path"],
        "route": place.template if place else None,
        "status": status,
        "duration_ms": round(seconds * 1000, 1),
        "event": "request" if scope["type"] == "http" else "socket",
    }
