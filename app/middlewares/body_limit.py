"""How much of a body is read."""

from collections.abc import Awaitable

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class BodyLimitMiddleware:
    """Refuses a body over the limit, declared or counted as it comes.

    Args:
        max_bytes: The largest body that is read.
    """

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self.app = app
        self.max_bytes = max_bytes

    def __call__(
        self, scope: Scope, receive: Receive, send: Send
    ) -> Awaitable[None]:
        """Serve one request.

        Raises:
            HTTPException: 413, the body is over the limit. This class is
                the one that the framework lets through its body parser.
        """
        if scope["type"] != "http":
            return self.app(scope, receive, send)
        if _declared(scope) > self.max_bytes:
            raise self._too_large()
        received = 0

        async def counted_receive() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self.max_bytes:
                raise self._too_large()
            return message

        return self.app(scope, counted_receive, send)

    def _too_large(self) -> HTTPException:
        return HTTPException(413, f"At most {self.max_bytes} bytes are read")


def _declared(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0
