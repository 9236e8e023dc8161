"""How long a request may take."""

from starlette.types import ASGIApp, Receive, Scope, Send

from app.utils.deadline import Deadline


class DeadlineMiddleware:
    """Ends a request that takes too long, its body's arrival included.

    Args:
        seconds: The deadline.
    """

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self.app = app
        self.seconds = seconds

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
        with Deadline(self.seconds):
            await self.app(scope, receive, send)
