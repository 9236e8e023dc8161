"""What is on its way to the client: one `send` that all middlewares share."""

from collections.abc import Awaitable
from http import HTTPStatus
from typing import Final

from starlette.types import Message, Send

from app.types import Header

_STARTS: Final = (
    "http.response.start",
    "websocket.accept",
    "websocket.http.response.start",
)
_SWITCHING_PROTOCOLS: Final = 101


class Answering:
    """Sends what answers one request, and keeps how it began.

    It is in `scope["state"]["answering"]`, so that who wants to know the
    status, or to add a header, need not stand in the way of every message.

    `status` is 0 until there is one, and `headers` are added when it is sent.

    Args:
        send: The server's.
        headers: Those that every answer has.
    """

    __slots__ = ("_send", "headers", "status")

    def __init__(self, send: Send, *headers: Header) -> None:
        self._send = send
        self.headers = list(headers)
        self.status = 0

    @property
    def final_status(self) -> int:
        """The status; 500 where the request has ended without one."""
        return self.status or HTTPStatus.INTERNAL_SERVER_ERROR.value

    def __call__(self, message: Message) -> Awaitable[None]:
        """Send a message, the first one with our headers."""
        if message["type"] in _STARTS:
            self.status = message.get("status", _SWITCHING_PROTOCOLS)
            message["headers"] = [*message.get("headers", ()), *self.headers]
        return self._send(message)
