"""HTTP/1.1 whose clients cannot keep a connection by being long or slow."""

import asyncio
from enum import Enum, auto
from http import HTTPStatus
from typing import Any, cast
from urllib.parse import unquote

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
)
from uvicorn.server import ServerState
from websockets.datastructures import Headers
from websockets.http11 import Request

from app import constants as c
from app.server.admission import CPU, FILES, Admission
from app.server.corked import CorkedTransport
from app.server.cycle import Cycle
from app.server.refusal import (
    PROBLEM_JSON,
    LingeringClose,
    note_refusal,
    problem,
)
from app.server.turn import turn_of
from app.server.unread import ReadWatch
from app.server.websocket import WebSocketProtocol
from app.types import RequestId
from app.utils.request_id import HEADER, request_id_of


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
        self._idle_since: float | None = None
        self._is_stranger = False
        self._fault = HTTPStatus.BAD_REQUEST
        self._refusal: bytes | None = None
        self._unread: ReadWatch | None = None

    def connection_made(  # type: ignore[override]  # as uvicorn has it
        self, transport: asyncio.Transport
    ) -> None:
        """Start to wait for the first request, if there is room."""
        corked: Any = CorkedTransport(transport, turn_of(self.loop))
        super().connection_made(corked)
        surplus = self._surplus()
        if surplus:
            self._shed(surplus)
        else:
            self._await_client()

    def pause_writing(self) -> None:
        """Wait for a client that reads slowly, but for none that does not."""
        super().pause_writing()
        self._unread = ReadWatch(self.transport, c.UNREAD_SECONDS)

    def resume_writing(self) -> None:
        """Go on, as the client has read nearly everything."""
        super().resume_writing()
        self._all_is_read()

    def _all_is_read(self) -> None:
        if self._unread is not None:
            self._unread.stop()
            self._unread = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop to wait."""
        self._stop_deadline()
        self._look_in_no_more()
        self._all_is_read()
        super().connection_lost(exc)
        self.cycle = None  # type: ignore[assignment]  # it refers to us

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
        self.scope["method"] = self.parser.get_method().decode("ascii")
        self.scope["http_version"] = self.parser.get_http_version()
        upgrade = self.parser.should_upgrade()
        if upgrade and not self._should_upgrade():
            return
        if not upgrade:
            self._dispatch()
            self._unanswered += 1
            self.headers = []
        self._phase = BODY
        self._unparsed = 0
        if self._deadline is not None:
            self._stop_deadline()

    def _dispatch(self) -> None:
        """Let the application answer, or wait until it has answered others."""
        url, scope = httptools.parse_url(self.url), self.scope
        path = url.path.decode("ascii")
        scope["path"] = unquote(path) if "%" in path else path
        scope["raw_path"] = url.path
        scope["query_string"] = url.query or b""
        previous: Any = self.cycle
        self.cycle = Cycle(
            scope=scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=self.parser.should_keep_alive()
            and scope["http_version"] != "1.0",
            on_response=self.on_response_complete,
        )
        if previous is None or previous.response_complete:
            self._start_asgi_task(self.cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))

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
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self._deadline is None and self._refusal is None:
            self._be_idle()
        if self._refusal is not None and not self._unanswered:
            self._linger_with_refusal()

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection that has been idle for long enough."""
        self.timeout_keep_alive_task = None
        if self._idle_since is None or self.transport.is_closing():
            return
        idle = self.loop.time() - self._idle_since
        if idle < self.timeout_keep_alive:
            self._look_in(self.timeout_keep_alive - idle)
        else:
            self.transport.close()

    def _be_idle(self) -> None:
        """Note since when; a timer for each request would cost too much."""
        self._idle_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._look_in(self.timeout_keep_alive)

    def _look_in(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(
            seconds, self.timeout_keep_alive_handler
        )

    def _look_in_no_more(self) -> None:
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
            self.timeout_keep_alive_task = None

    def _unset_keepalive_if_required(self) -> None:
        self._idle_since = None

    @property
    def is_busy(self) -> bool:
        """Whether a request waits for its answer, or for the rest of it."""
        return self._unanswered > 0

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection over to the WebSocket protocol."""
        self._stop_deadline()
        self._look_in_no_more()
        self.connections.discard(self)
        protocol = cast("type[WebSocketProtocol]", self.ws_protocol_class)(
            config=self.config,
            server_state=self.server_state,
            app_state=self.app_state,
        )
        transport = cast("CorkedTransport", self.transport).plain
        protocol.connection_made(transport)
        transport.set_protocol(protocol)
        protocol.handle_connect(self._handshake())
        # It holds us, and nobody else does from now on.
        self.parser = None  # type: ignore[assignment]  # as uvicorn does

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
        elif self._admission is not None and self._admission.is_late:
            self._admission.shed(CPU)
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE)
        else:
            self.handle_websocket_upgrade()

    @property
    def _admission(self) -> Admission | None:
        return self.app_state.get("admission")

    def _surplus(self) -> int:
        admission = self._admission
        if admission is None or self.server is None:
            return 0
        return admission.surplus(len(self.connections), self.server[1])

    def _shed(self, surplus: int) -> None:
        """Refuse a client for whom there is no room, before he asks."""
        if self._admission is not None:
            self._admission.shed(FILES)
        if surplus > c.ADMISSION_MAX_REFUSED:
            self.transport.abort()
            return
        self._refusal = self._answer(
            HTTPStatus.SERVICE_UNAVAILABLE, request_id_of(())
        )
        self._linger_with_refusal()

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
        elif self._deadline is not None:
            return
        elif self._phase is BODY:
            self._give_time(self.body_timeout_seconds)
        elif self._may_wait():
            self._give_time(self.header_timeout_seconds)
        else:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE)

    def _give_time(self, seconds: float) -> None:
        self._deadline = self.loop.call_later(seconds, self._give_up)

    def _stop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if self._is_stranger and self._admission is not None:
            self._admission.know_stranger(self._peer)
            self._is_stranger = False

    def _may_wait(self) -> bool:
        """Say whether the peer's address may have another unfinished head."""
        admission, port = self._admission, self.server and self.server[1]
        if admission is None or admission.never_refuses(port):
            return True
        self._is_stranger = admission.take_stranger(self._peer)
        return self._is_stranger

    @property
    def _peer(self) -> str | None:
        return self.client[0] if self.client else None

    def _give_up(self) -> None:
        self._stop_deadline()
        if self._phase is IDLE:
            self.transport.close()
        elif self.flow.read_paused:  # the client waits for us
            self._await_client()
        else:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT)

    def _refuse(self, status: HTTPStatus) -> None:
        """Answer in the place of the application, and close.

        Who is shed, with 503, is counted by the admission.
        """
        request_id = self._request_id()
        self._refusal = self._answer(status, request_id)
        is_ours = self._phase is not BODY or self._take_back_request()
        if is_ours and status is not HTTPStatus.SERVICE_UNAVAILABLE:
            note_refusal(status, request_id)
        self._stop_deadline()
        self._unset_keepalive_if_required()
        if not self._unanswered:
            self._linger_with_refusal()

    def _request_id(self) -> RequestId:
        """Return the id of the request in hand.

        The application gets to know it, or has chosen it already.
        """
        if self._phase is not BODY:
            return request_id_of(self.headers or ())
        scope: Any = self.cycle.scope
        known: RequestId | None = scope["state"].get("request_id")
        if known is not None:
            return known
        request_id = request_id_of(scope["headers"])
        scope["headers"].append((HEADER, request_id.encode()))
        return request_id

    def _take_back_request(self) -> bool:
        """Stop the request whose body is refused.

        One that is partly answered cannot be given another answer.

        Returns:
            Whether the application has not heard of it, and never will; else
            it counts and logs it, as one whose client has gone.
        """
        cycle = self.cycle
        if cycle.response_started:
            self._refusal = b""
        if cycle.response_complete:
            return False
        self._unanswered -= 1
        if self.pipeline and self.pipeline[0][0] is cycle:
            self.pipeline.popleft()
            return True
        cycle.disconnected = True
        cycle.waiting_for_100_continue = False
        cycle.message_event.set()
        return False

    def _linger_with_refusal(self) -> None:
        if self._refusal is not None and not self.transport.is_closing():
            self.flow.resume_reading()
            self._deadline = self._linger(self._refusal)

    def _answer(self, status: HTTPStatus, request_id: RequestId) -> bytes:
        body = problem(status, request_id)
        headers = [
            *self.server_state.default_headers,
            (b"content-type", PROBLEM_JSON.encode()),
            (b"content-length", str(len(body)).encode()),
            (HEADER, request_id.encode()),
            (b"connection", b"close"),
        ]
        if status is HTTPStatus.SERVICE_UNAVAILABLE:
            headers.append((b"retry-after", b"%d" % c.RETRY_AFTER_SECONDS))
        lines = [b"%b: %b\r\n" % header for header in headers]
        return b"".join([STATUS_LINE[status], *lines, b"\r\n", body])
