"""Probes and metrics on a port of their own."""

from starlette.types import ASGIApp, Receive, Scope, Send

from app.constants import MANAGEMENT_PATHS, PROBES
from app.exceptions import NotFound


class ManagementPortMiddleware:
    """Keeps the management port and the clients' apart.

    `/health` is on both. Sockets are refused where they shake hands.

    Args:
        port: The management port.
    """

    def __init__(self, app: ASGIApp, port: int) -> None:
        self.app = app
        self.port = port

    async def __call__(
        self, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Serve one request.

        Raises:
            NotFound: This path is not on this port.
        """
        if scope["type"] == "http" and not self._is_here(scope):
            raise NotFound("There is nothing at this path")
        await self.app(scope, receive, send)

    def _is_here(self, scope: Scope) -> bool:
        if scope["server"][1] == self.port:
            return scope["path"] in PROBES
        return scope["path"] not in MANAGEMENT_PATHS
