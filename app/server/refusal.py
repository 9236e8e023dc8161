"""How a connection is refused: with a reason, and so that it arrives."""

import asyncio
import json
from http import HTTPStatus

import structlog

from app import constants as c
from app.server.unread import ReadWatch
from app.types import RequestId
from app.utils.metrics import (
    OTHER,
    UNMATCHED,
    Children,
    http_requests_total,
)

PROBLEM_JSON = "application/problem+json"
DETAILS = {
    HTTPStatus.BAD_REQUEST: "No valid HTTP/1.1 request or handshake.",
    HTTPStatus.METHOD_NOT_ALLOWED: "A handshake is a GET.",
    HTTPStatus.REQUEST_TIMEOUT: "The request was not finished in time.",
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: (
        "Request line and headers, or trailers, are longer than "
        f"{c.MAX_HEADER_BYTES} bytes."
    ),
    HTTPStatus.SERVICE_UNAVAILABLE: "This process has no room now; try again.",
}

_refused = Children(http_requests_total)

logger = structlog.get_logger(__name__)


def note_refusal(status: int, request_id: RequestId) -> None:
    """Count and log the answer to what the application never sees.

    Its method may not have been read, and is `other`.
    """
    _refused[(OTHER, UNMATCHED, str(int(status)))].inc()
    logger.info("request refused", request_id=request_id, status=int(status))


def problem(status: HTTPStatus, request_id: RequestId) -> bytes:
    """Describe a refusal as RFC 9457 has it, in JSON."""
    document = {
        "type": "about:blank",
        "title": status.phrase,
        "status": status.value,
        "detail": DETAILS.get(status, DETAILS[HTTPStatus.BAD_REQUEST]),
        "request_id": request_id,
    }
    if status is HTTPStatus.SERVICE_UNAVAILABLE:
        document["retry_after"] = c.RETRY_AFTER_SECONDS
    return json.dumps(document).encode()


class LingeringClose:
    """Closes a connection so that its last words arrive."""

    linger_seconds = c.LINGER_SECONDS
    linger_bytes = c.LINGER_BYTES
    unread_seconds = c.LINGER_UNREAD_SECONDS
    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport
    _lingering = False

    def _linger(self, last_words: bytes) -> asyncio.TimerHandle:
        self._lingering = True
        self.transport.write(last_words)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        return self._abort_later(self.linger_seconds)

    def _abort_later(self, seconds: float) -> asyncio.TimerHandle:
        """Cut the client off after this time, or when he has stopped to read.

        One who has not read all that was sent before has longer.
        """
        if self.transport.get_write_buffer_size():
            ReadWatch(self.transport, c.UNREAD_SECONDS)
            seconds = max(seconds, self.unread_seconds)
        return self.loop.call_later(seconds, self.transport.abort)

    def _drop(self, data: bytes) -> None:
        self.linger_bytes -= len(data)
        if self.linger_bytes < 0:
            self.transport.abort()
