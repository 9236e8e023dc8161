"""WebSocket that says why it ends, keeps its bounds and logs no token."""

import asyncio
import codecs
import logging
from collections.abc import Generator
from http import HTTPStatus
from random import getrandbits
from typing import Any, Final

import uvicorn
from uvicorn.protocols.websockets.websockets_sansio_impl import (
    WebSocketsSansIOProtocol,
)
from uvicorn.server import ServerState
from websockets.frames import Close, CloseCode, Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import Protocol, State
from websockets.server import ServerProtocol

from app.constants import FRAMES_EXTENSION
from app.managers.outlet import Listener
from app.server.frames import FrameWire
from app.server.keepalive import keepalive_of
from app.server.mailbox import Mailbox
from app.server.refusal import (
    PROBLEM_JSON,
    LingeringClose,
    note_refusal,
    problem,
)
from app.server.short_frames import PING_HEAD, take_whole_texts, whole_pong
from app.utils.request_id import request_id_of

_STATE: Final[property] = vars(Protocol)["state"]


class FrameProtocol(ServerProtocol):
    """Parses frames; the handshake before them is the HTTP protocol's.

    `wire` is told when frames can be sent, and when they no longer can.
    """

    wire: FrameWire | None = None
    _text: codecs.IncrementalDecoder | None = None
    _is_between_frames = True

    def _set_state(self, state: State) -> None:
        _STATE.__set__(self, state)
        if self.wire is not None:
            self.wire.is_open = state is State.OPEN

    state = property(_STATE.fget, _set_state)

    @property
    def is_between_messages(self) -> bool:
        """Whether the next byte is the first one of a message."""
        return (
            self._is_between_frames
            and self.current_size is None
            and self.state is State.OPEN
        )

    def receive_data(self, data: bytes | bytearray) -> None:
        """Parse what a client has sent."""
        self._is_between_frames = False
        super().receive_data(data)

    def parse(self) -> Generator[None]:
        """Parse frames from the start."""
        yield from Protocol.parse(self)

    def recv_frame(self, frame: Frame) -> None:
        """Take a frame in, and fail with 1007 at text that is not UTF-8.

        Empty fragments are left out: they count for nothing in the limit of
        a message, so there could be any number of them in memory.
        """
        super().recv_frame(frame)
        self._is_between_frames = not self.reader.buffer
        if frame.opcode is Opcode.TEXT:
            if frame.fin:
                codecs.utf_8_decode(frame.data, "strict", True)
                return
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
        request_id = request_id_of(())
        body = problem(HTTPStatus(status), request_id).decode()
        response = super().reject(status, body)
        del response.headers["Content-Type"]
        response.headers["Content-Type"] = PROBLEM_JSON
        response.headers["X-Request-ID"] = request_id
        note_refusal(status, request_id)
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
        self.queue = Mailbox()  # type: ignore[assignment]  # does all that is asked of it
        self._listener: Listener | None = None
        self._taker: Listener | None = None
        self._keepalive = keepalive_of(
            server_state, self.loop, config.ws_ping_interval or 0
        )

    def handle_connect(self, event: Request) -> None:
        """Answer the handshake, and offer to write frames."""
        super().handle_connect(event)
        if not self.close_sent:
            extensions: dict[str, Any] = self.scope["extensions"]
            extensions[FRAMES_EXTENSION] = self.conn.wire = FrameWire(self)

    def listen(self, listener: Listener) -> None:
        """Tell this one when the client lags, as long as there is one."""
        if not self.disconnected:
            self._listener = listener

    def hand_over(self) -> None:
        """Give the listener each message from now on, None if it is binary.

        What is queued already is still `receive`d. What the handshake said
        is let go: it is long, and has a token in it.
        """
        self._taker = self._listener
        vars(self).pop("request", None)
        vars(self).pop("response", None)

    def send_receive_event_to_app(self) -> None:
        """Give a message to whoever takes it, or queue it."""
        if self._taker is None:
            super().send_receive_event_to_app()
            return
        data, self.frames = b"".join(self.frames), []
        if not self.close_sent:
            is_text = self.curr_msg_data_type == "text"
            self._taker.take(data.decode() if is_text else None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of what holds us, so that no garbage is left to look for."""
        super().connection_lost(exc)
        self._listener = self._taker = None
        del self.conn.parser
        if self.conn.wire is not None:
            self.conn.wire.is_open = False  # where there was no close frame
            self.conn.wire = None

    def on_task_complete(self, task: "asyncio.Task[None]") -> None:
        """Let go of what the application was given; it holds us, too."""
        super().on_task_complete(task)
        del self.scope
        if self.transport.is_closing():
            self._wait_no_longer()

    async def send(self, message: Any) -> None:
        """Send for the application; a close is not waited for without end.

        Raises:
            ClientDisconnected: Nobody is there any more.
            RuntimeError: It is not what has to come next.
        """
        await super().send(message)
        if self.close_sent:
            self.handshake_complete = True  # a refusal completes it, too
        if message["type"] == "websocket.close" and self.close_timer:
            self.close_timer.cancel()
            self.close_timer = self._abort_later(self.close_timeout)

    def handle_close(self, event: Frame) -> None:
        """Answer a close frame, or take the answer to ours."""
        received = self.conn.close_rcvd
        if self.close_sent or received is None:
            super().handle_close(event)
            self._wait_no_longer()
        else:
            self._end(received.code, received.reason)

    def shutdown(self) -> None:
        """Close, as the server ends."""
        super().shutdown()
        self._wait_no_longer()

    def pause_writing(self) -> None:
        """Note since when the client has been reading too slowly."""
        super().pause_writing()
        if self.conn.wire is not None:
            self.conn.wire.stalled_since = self.loop.time()
        if self._listener is not None:
            self._listener.lag()

    def resume_writing(self) -> None:
        """Note that the client has caught up."""
        super().resume_writing()
        if self.conn.wire is not None:
            self.conn.wire.stalled_since = None

    def cut(self, code: int, reason: str) -> None:
        """Close without waiting for a client that reads nothing."""
        if self.conn.state is State.OPEN and not self.disconnected:
            self.conn.send_close(code, reason)
            self._end(code, reason)

    def data_received(self, data: bytes) -> None:
        """Take frames in, once the handshake is answered."""
        if self._lingering:
            self._drop(data)
        elif self.conn.state is State.CONNECTING:
            self._refuse_early_frames()
        elif rest := self._take_whole_texts(data):
            super().data_received(rest)

    def _take_whole_texts(self, data: bytes) -> bytes:
        """Hand over what needs no parser, and return what does."""
        if (
            self._taker is None
            or self.close_sent
            or not self.conn.is_between_messages
        ):
            return data
        rest = take_whole_texts(
            data, self.config.ws_max_size, self._taker.take
        )
        return b"" if rest and self._is_answer(rest) else rest

    def _is_answer(self, data: bytes) -> bool:
        """Say whether this answers the last ping, and nothing else."""
        expected = self.pending_ping_payload
        if expected is None or whole_pong(data) != expected:
            return False
        self.pending_ping_payload = None
        return True

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

    def start_keepalive(self) -> None:
        """Be pinged from now on, if anybody is."""
        if self.ping_interval:
            self._keepalive.add(self)

    def stop_keepalive(self) -> None:
        """Be pinged no more."""
        self._keepalive.remove(self)
        self.pending_ping_payload = None

    def ping(self) -> bool:
        """Ping the client, or close where it has not answered the last one.

        Returns:
            Whether there is to be another ping.
        """
        if self.close_sent or self.transport.is_closing():
            return False
        if self.pending_ping_payload is not None:
            if not self.transport.is_reading():
                return True  # nobody could have seen an answer
            self.keepalive_timeout()
            return False
        self.pending_ping_payload = getrandbits(32).to_bytes(4)
        self.transport.write(PING_HEAD + self.pending_ping_payload)
        return True

    def keepalive_timeout(self) -> None:
        """Close with 1011, and let go of a client that reads nothing."""
        super().keepalive_timeout()
        self._wait_no_longer()

    def _refuse_early_frames(self) -> None:
        self.handshake_complete = True
        self.disconnected = True
        response = self.conn.reject(HTTPStatus.BAD_REQUEST, "")
        self.conn.send_response(response)
        self._end(CloseCode.ABNORMAL_CLOSURE, "")

    def _wait_no_longer(self) -> None:
        """Let go of a closed connection whose client reads nothing."""
        if self.transport.get_write_buffer_size():
            self.loop.call_later(self.linger_seconds, self.transport.abort)

    def _end(self, code: int, reason: str) -> None:
        self.queue.put_nowait(
            {"type": "websocket.disconnect", "code": code, "reason": reason}
        )
        self.close_sent = True
        self.stop_keepalive()
        if self.close_timer is not None:
            self.close_timer.cancel()
        self.close_timer = self._linger(b"".join(self.conn.data_to_send()))
