"""How long a request may take."""

from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Receive, Scope, Send

if TYPE_CHECKING:
    from app.lifespan import Container


class DeadlineMiddleware:
    """Ends a request that takes too long, its body's arrival included."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(
        self, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Serve one request.

        Raises:
            DeadlineExceeded: It was not done in time.
        """
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        container: Container = scope["state"]["container"]
        with container.deadlines.begin():
            await self.app(scope, receive, send)
