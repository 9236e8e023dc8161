"""What is counted of each request."""

from time import perf_counter
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from app.routing import RouteTable
from app.utils.metrics import (
    OTHER,
    UNMATCHED,
    Children,
    http_request_duration_seconds,
    http_requests_in_progress,
    http_requests_total,
)

METHODS: Final = frozenset(
    {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
)
"""Methods that are labels; what else a client says is `other`."""

_requests = Children(http_requests_total)
_durations = Children(http_request_duration_seconds)
_in_progress = Children(http_requests_in_progress)


class PrometheusMiddleware:
    """Counts requests by the template of their route, never by their path.

    The route is found here, once, and left in `scope["state"]["route"]`;
    None is a request that no route answers. `scope["state"]["place"]` is the
    same or, where the path has no such method, one that it has.

    Args:
        routes: The table of all routes.
    """

    def __init__(self, app: ASGIApp, routes: RouteTable) -> None:
        self.app = app
        self.routes = routes

    async def __call__(
        self, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        labels = self._resolve(scope)
        in_progress = _in_progress[labels]
        in_progress.inc()
        started = perf_counter()
        try:
            await self.app(scope, receive, send)
        finally:
            _durations[labels].observe(perf_counter() - started)
            in_progress.dec()
            status = scope["state"]["answering"].final_status
            _requests[(*labels, str(status))].inc()

    def _resolve(self, scope: Scope) -> tuple[str, str]:
        """Find the route, and return what it is counted as."""
        method = scope["method"]
        asked = "GET" if method == "HEAD" else method
        route = self.routes.find(asked, scope["path"])
        place = route or self.routes.at(scope["path"])
        scope["state"]["route"], scope["state"]["place"] = route, place
        template = place.template if place else UNMATCHED
        return method if method in METHODS else OTHER, template
