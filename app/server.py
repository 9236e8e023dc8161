"""How this service speaks HTTP/1.1 and WebSocket: uvicorn, made strict.

uvicorn does the work; the two subclasses here close the gaps that a client
can fall into or push at. Development, tests and production all run them,
configured in one place, `uvicorn_options`.

**Waiting.** Whenever the next move is the client's there is a deadline, and
bytes that trickle in do not move it: `HEADER_TIMEOUT_SECONDS` for a head,
`BODY_TIMEOUT_SECONDS` for a body, uvicorn's keep-alive in between. A request
that comes in one packet, as nearly all do, never starts a timer.

**Size.** A head has at most `MAX_HEADER_BYTES`. An unfinished one is refused
by `_unparsed`, what came since the parser last got something done: never
more than the head has, because a packet that also ended the message before
is not counted. A finished one is measured header by header, but only if it
came in packets that add up to too much.

**Refusing.** A refusal is a problem document. It waits for the answers to
requests that came before it, then the connection lingers: we say that we
have finished, drop what still comes, and close when the client does or time
is up. Closing at once, with bytes unread, would make the kernel send a reset
that can overtake the answer.

**Handshakes.** The HTTP parser has read the handshake already, so the socket
takes it from there; websockets' own parser, its limit of 8 KiB a line and
its silence about what it refuses are left out. What websockets then refuses
is a problem document too, which does not quote the header that was wrong:
it may be a token.
"""

import asyncio
import codecs
import json
import logging
from collections.abc import Generator
from enum import Enum, auto
from http import HTTPStatus
from pathlib import Path
from typing import Any, cast

import httptools
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
)
from uvicorn.protocols.websockets.websockets_sansio_impl import (
    WebSocketsSansIOProtocol,
)
from uvicorn.server import ServerState
from websockets.datastructures import Headers
from websockets.frames import Close, CloseCode, Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import Protocol, State
from websockets.server import ServerProtocol

from app import constants as c
from app.settings import Settings

APPLICATION = "app:application"
PROBLEM_JSON = "application/problem+json"
DETAILS = {
    HTTPStatus.BAD_REQUEST: "No valid HTTP/1.1 request or handshake.",
    HTTPStatus.REQUEST_TIMEOUT: "The request was not finished in time.",
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: (
        "Request line and headers, or trailers, are longer than "
        f"{c.MAX_HEADER_BYTES} bytes."
    ),
}


def problem(status: HTTPStatus) -> bytes:
    """Describe a refusal as RFC 9457 has it, in JSON."""
    document = {
        "type": "about:blank",
        "title": status.phrase,
        "status": status.value,
    }
    if status in DETAILS:
        document["detail"] = DETAILS[status]
    return json.dumps(document).encode()


def uvicorn_options(settings: Settings) -> dict[str, Any]:
    """Configure uvicorn, however it is started.

    That is every argument of `uvicorn.Config` that this service sets, but
    the application and its address; also gunicorn's `CONFIG_KWARGS`.
    """
    return {
        "http": HTTPProtocol,
        "ws": WebSocketProtocol,
        "ws_max_size": settings.ws_max_message_bytes,
        "ws_per_message_deflate": False,
        "ws_ping_interval": c.WS_PING_INTERVAL_SECONDS,
        "ws_ping_timeout": c.WS_PING_TIMEOUT_SECONDS,
        "loop": "auto",
        "interface": "asgi3",
        "lifespan": "on",
        "access_log": False,
        "log_config": None,
        "proxy_headers": False,
        "server_header": False,
        "timeout_graceful_shutdown": c.SHUTDOWN_TIMEOUT_SECONDS,
    }


def uvicorn_config(
    settings: Settings, app: ASGIApp, *, host: str, port: int
) -> uvicorn.Config:
    """Configure a server for an application of this process."""
    return uvicorn.Config(
        app, host=host, port=port, **uvicorn_options(settings)
    )


def serve(
    settings: Settings,
    *,
    host: str,
    port: int,
    reload: bool = False,
    app: str = APPLICATION,
) -> None:
    """Serve until SIGINT or SIGTERM.

    Args:
        settings: Those that configure the server.
        host: The address to listen on.
        port: The port to listen on.
        reload: Start again whenever a Python file of this package changes.
        app: Import string of the application's factory.

    Raises:
        SystemExit: The address is taken or the application did not start.
    """
    uvicorn.run(
        app,
        factory=True,
        host=host,
        port=port,
        reload=reload,
        reload_dirs=str(Path(__file__).parent) if reload else None,
        **uvicorn_options(settings),
    )


class LingeringClose:
    """Closes a connection so that its last words arrive."""

    linger_seconds = c.LINGER_SECONDS
    linger_bytes = c.LINGER_BYTES
    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport
    _lingering = False

    def _linger(self, last_words: bytes) -> asyncio.TimerHandle:
        self._lingering = True
        self.transport.write(last_words)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        return self.loop.call_later(self.linger_seconds, self.transport.abort)

    def _drop(self, data: bytes) -> None:
        self.linger_bytes -= len(data)
        if self.linger_bytes < 0:
            self.transport.abort()


class Phase(Enum):
    """What the next byte of a connection belongs to."""

    IDLE = auto()
    HEAD = auto()
    BODY = auto()


IDLE, HEAD, BODY = Phase  # looking a member up takes longer than a name


class HTTPProtocol(LingeringClose, HttpToolsProtocol):
    """An HTTP connection whose client cannot keep it by being long or slow."""

    header_timeout_seconds = c.HEADER_TIMEOUT_SECONDS
    body_timeout_seconds = c.BODY_TIMEOUT_SECONDS

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._phase = IDLE
        self._unparsed = 0
        self._packet = 0
        self._first_packet = 0
        self._unanswered = 0
        self._deadline: asyncio.TimerHandle | None = None
        self._fault = HTTPStatus.BAD_REQUEST
        self._refusal: bytes | None = None

    def connection_made(  # type: ignore[override]  # as uvicorn has it
        self, transport: asyncio.Transport
    ) -> None:
        """Start to wait for the first request."""
        super().connection_made(transport)
        self._await_client()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop to wait."""
        self._stop_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what came, and see whose move it is now."""
        if self._refusal is not None:
            if self._lingering:
                self._drop(data)
            return
        self._unset_keepalive_if_required()
        self._packet = len(data)
        self._unparsed += self._packet
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self._refuse(self._fault)
        else:
            self._await_client()

    def on_message_begin(self) -> None:
        """Begin a head."""
        self._phase = HEAD
        self._first_packet = self._packet
        if self._deadline is not None:
            self._stop_deadline()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Dispatch a request, unless its head is too long.

        One that asks for another protocol than WebSocket is parsed again
        first. Trailers go to a list of their own: in the request's they
        could pose as headers that a proxy has set.
        """
        if self._unparsed + self._first_packet > c.MAX_HEADER_BYTES:
            self._measure_head()
        upgrade = self.parser.should_upgrade()
        if upgrade and not self._should_upgrade():
            return
        super().on_headers_complete()
        self._phase = BODY
        self._unparsed = 0
        if self._deadline is not None:
            self._stop_deadline()
        if not upgrade:
            self._unanswered += 1
            self.headers = []

    def on_body(self, body: bytes) -> None:
        """Pass on a part of a body."""
        self._unparsed = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End a body."""
        self._phase = IDLE
        self._unparsed = 0
        if self._deadline is not None:
            self._stop_deadline()
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """Go on with the next request, or with the refusal that waits."""
        self._unanswered -= 1
        super().on_response_complete()
        if self._deadline is not None or self._refusal is not None:
            self._unset_keepalive_if_required()
        if self._refusal is not None and not self._unanswered:
            self._linger_with_refusal()

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection over to the WebSocket protocol."""
        self._stop_deadline()
        self.connections.discard(self)
        protocol = cast("type[WebSocketProtocol]", self.ws_protocol_class)(
            config=self.config,
            server_state=self.server_state,
            app_state=self.app_state,
        )
        protocol.connection_made(self.transport)
        self.transport.set_protocol(protocol)
        protocol.handle_connect(self._handshake())

    def _handshake(self) -> Request:
        headers = Headers()
        for name, value in self.headers:
            headers[name.decode("latin-1")] = value.decode("latin-1")
        return Request(
            self.url.decode("ascii"),
            headers,
            self.scope["method"],
            f"HTTP/{self.scope['http_version']}",
        )

    def _upgrade(self, rest: bytes) -> None:
        if not self._should_upgrade():
            self._ignore_upgrade(rest)
        elif self._unanswered or rest or not self._is_plain_handshake():
            self._refuse(HTTPStatus.BAD_REQUEST)
        else:
            self.handle_websocket_upgrade()

    def _ignore_upgrade(self, rest: bytes) -> None:
        """Parse a request again without its wish for another protocol.

        The parser has taken its body for that protocol. Java's own client
        wishes for HTTP/2 in every first request.
        """
        method = self.parser.get_method()
        if method == b"CONNECT":
            self._refuse(HTTPStatus.BAD_REQUEST)
            return
        version = self.parser.get_http_version().encode()
        lines = [b"%b %b HTTP/%b" % (method, self.url, version)]
        lines += [b"%b: %b" % h for h in self.headers if h[0] != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.data_received(b"\r\n".join([*lines, b"", rest]))

    def _is_plain_handshake(self) -> bool:
        names = {name for name, value in self.headers if value != b"0"}
        body = {b"content-length", b"transfer-encoding"}
        return self.url.isascii() and not names & body

    def _measure_head(self) -> None:
        size = len(self.parser.get_method() + self.url) + len("  HTTP/1.1\r\n")
        size += sum(len(n) + len(v) + len(": \r\n") for n, v in self.headers)
        if size > c.MAX_HEADER_BYTES:
            self._fault = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            raise ValueError(size)

    def _await_client(self) -> None:
        if self._phase is IDLE and self._unanswered:
            return
        if self._unparsed > c.MAX_HEADER_BYTES:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        elif self._deadline is None:
            seconds = self.header_timeout_seconds
            if self._phase is BODY:
                seconds = self.body_timeout_seconds
            self._deadline = self.loop.call_later(seconds, self._give_up)

    def _stop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        self._deadline = None
        if self._phase is IDLE:
            self.transport.close()
        elif self.flow.read_paused:  # the client waits for us
            self._await_client()
        else:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT)

    def _refuse(self, status: HTTPStatus) -> None:
        self.logger.info("Refused a request: %d %s", status, status.phrase)
        self._refusal = self._answer(status)
        if self._phase is BODY:
            self._take_back_request()
        self._stop_deadline()
        self._unset_keepalive_if_required()
        if not self._unanswered:
            self._linger_with_refusal()

    def _take_back_request(self) -> None:
        """Stop the request whose body is refused.

        One that is partly answered cannot be given another answer.
        """
        cycle = self.cycle
        if cycle.response_started:
            self._refusal = b""
        if cycle.response_complete:
            return
        self._unanswered -= 1
        if self.pipeline and self.pipeline[0][0] is cycle:
            self.pipeline.popleft()
            return
        cycle.disconnected = True
        cycle.waiting_for_100_continue = False
        cycle.message_event.set()

    def _linger_with_refusal(self) -> None:
        if self._refusal is not None and not self.transport.is_closing():
            self.flow.resume_reading()
            self._linger(self._refusal)

    def _answer(self, status: HTTPStatus) -> bytes:
        body = problem(status)
        headers = [
            *self.server_state.default_headers,
            (b"content-type", PROBLEM_JSON.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        lines = [b"%b: %b\r\n" % header for header in headers]
        return b"".join([STATUS_LINE[status], *lines, b"\r\n", body])


class FrameProtocol(ServerProtocol):
    """Parses frames; the handshake before them is the HTTP protocol's."""

    _text: codecs.IncrementalDecoder | None = None

    def parse(self) -> Generator[None]:
        """Parse frames from the start."""
        yield from Protocol.parse(self)

    def recv_frame(self, frame: Frame) -> None:
        """Take a frame in, and fail with 1007 at text that is not UTF-8.

        Empty fragments are left out: they count for nothing in the limit of
        a message, so there could be any number of them in memory.
        """
        super().recv_frame(frame)
        if frame.opcode is Opcode.TEXT:
            self._text = codecs.getincrementaldecoder("utf-8")()
        elif frame.opcode is not Opcode.CONT:
            return
        elif not frame.data and not frame.fin:
            self.events.pop()
        if self._text is not None:
            self._text.decode(frame.data, frame.fin)
            if frame.fin:
                self._text = None

    def reject(
        self,
        status: HTTPStatus | int,
        text: str,  # noqa: ARG002  (it may quote a token)
    ) -> Response:
        """Refuse a handshake with a problem document."""
        response = super().reject(status, problem(HTTPStatus(status)).decode())
        del response.headers["Content-Type"]
        response.headers["Content-Type"] = PROBLEM_JSON
        return response


class WarningsOnly(logging.LoggerAdapter[logging.Logger]):
    """A logger without the lines that quote paths, headers and messages."""

    level = logging.WARNING

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802  (logging's)
        """Say whether a line of this level is written."""
        return level >= self.level and super().isEnabledFor(level)


class WebSocketProtocol(LingeringClose, WebSocketsSansIOProtocol):
    """A WebSocket connection that says why it ends, and logs no token."""

    conn: FrameProtocol

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.logger = WarningsOnly(self.logger)  # type: ignore[assignment]  # does all that is asked of it
        self.conn = FrameProtocol(
            extensions=self.conn.available_extensions,
            max_size=self.config.ws_max_size,
            logger=self.logger,
        )

    def data_received(self, data: bytes) -> None:
        """Take frames in, once the handshake is answered."""
        if self._lingering:
            self._drop(data)
        elif self.conn.state is State.CONNECTING:
            self._refuse_early_frames()
        else:
            super().data_received(data)

    def handle_ping(self) -> None:
        """Answer a ping, unless the client has stopped to read answers."""
        if self.writable.is_set():
            super().handle_ping()
        else:
            self.conn.data_to_send()

    def handle_parser_exception(self) -> None:
        """Close with the code that websockets has chosen for an error."""
        close = self.conn.close_sent or Close(CloseCode.ABNORMAL_CLOSURE, "")
        self._end(close.code, close.reason)

    def keepalive_timeout(self) -> None:
        """Close with 1011, and let go of a client that reads nothing."""
        super().keepalive_timeout()
        self.loop.call_later(self.linger_seconds, self.transport.abort)

    def _refuse_early_frames(self) -> None:
        self.handshake_complete = True
        self.disconnected = True
        response = self.conn.reject(HTTPStatus.BAD_REQUEST, "")
        self.conn.send_response(response)
        self._end(CloseCode.ABNORMAL_CLOSURE, "")

    def _end(self, code: int, reason: str) -> None:
        self.queue.put_nowait(
            {"type": "websocket.disconnect", "code": code, "reason": reason}
        )
        self.close_sent = True
        self.stop_keepalive()
        if self.close_timer is not None:
            self.close_timer.cancel()
        self.close_timer = self._linger(b"".join(self.conn.data_to_send()))
