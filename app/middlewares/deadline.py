"""How long a request may take."""

from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Message, Receive, Scope, Send

if TYPE_CHECKING:
    from app.lifespan import Container


class DeadlineMiddleware:
    """Ends a request that takes too long once its body has arrived.

    How long a body may take is the server's to say (408): it is the client
    who is slow, and nobody's error here.
    """

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
        with container.deadlines.begin() as deadline:
            is_whole = False

            async def receive_in_peace() -> Message:
                nonlocal is_whole
                if is_whole:
                    return await receive()
                deadline.pause()
                try:
                    message = await receive()
                finally:
                    deadline.resume()
                is_whole = not message.get("more_body", False)
                return message

            await self.app(scope, receive_in_peace, send)
