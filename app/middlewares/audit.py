"""The row of every request that a user has sent."""

from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Receive, Scope, Send

if TYPE_CHECKING:
    from app.lifespan import Container


class AuditMiddleware:
    """Sees how a request ends, whoever has answered it.

    A request that nobody has signed is no user's action and has no row, nor
    has one that no route answers. One that ends without an answer has failed.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(
        self, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        state = scope["state"]
        try:
            await self.app(scope, receive, send)
        finally:
            if "action" in state:
                container: Container = state["container"]
                status = state["answering"].final_status
                container.audit.settle(state["action"], status)
