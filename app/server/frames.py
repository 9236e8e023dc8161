"""Frames without ASGI's queue and without waiting.

`scope["extensions"]["gatehouse.frames"]` is a `FrameWire`: an application
writes ready frames to it, and sees how much of them is still here. ASGI's
`send` makes a frame for each socket and waits for its client. Replies of one
turn of the event loop go out together, which is one call of the system where
a client has asked for several things at once.

Who listens to it is called with each message, where `receive` wakes a task
for each.
"""

from typing import TYPE_CHECKING

from app.constants import WS_SEND_QUEUE_STALL_BYTES
from app.managers.outlet import Listener
from app.server.turn import turn_of

if TYPE_CHECKING:
    from app.server.websocket import WebSocketProtocol


class FrameWire:
    """The connection of one socket.

    The protocol keeps `is_open`, which says whether anything can still be
    sent, and `stalled_since`, when the client began to read too slowly.

    Args:
        protocol: Who speaks on it.
    """

    __slots__ = (
        "_frames",
        "_max_bytes",
        "_protocol",
        "_size",
        "_transport",
        "_turn",
        "is_open",
        "stalled_since",
    )

    def __init__(self, protocol: "WebSocketProtocol") -> None:
        self.is_open = False
        self.stalled_since: float | None = None
        self._protocol = protocol
        self._transport = protocol.transport
        self._turn = turn_of(protocol.loop)
        self._frames: list[bytes] = []
        self._size = 0
        self._max_bytes = 0

    @property
    def unread_bytes(self) -> int:
        """What was written and has not gone out yet."""
        return self._size + self._transport.get_write_buffer_size()

    @property
    def stalled_seconds(self) -> float:
        """For how long the client has been reading too slowly; else 0."""
        since = self.stalled_since
        return self._protocol.loop.time() - since if since else 0.0

    @property
    def is_stalled(self) -> bool:
        """Whether the client is reading too slowly now."""
        return self.stalled_since is not None

    def listen(self, listener: Listener) -> None:
        """Tell this one when the client lags."""
        self._protocol.listen(listener)

    def hand_over(self) -> None:
        """Give the listener messages as they come; none is `receive`d."""
        self._protocol.hand_over()

    def pause_reading(self) -> None:
        """Read nothing of the client for the time being."""
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read on."""
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def limit(self, max_bytes: int) -> None:
        """Let this much be unread, when frames are offered.

        From there on the client reads too slowly, if not before.
        """
        self._max_bytes = max_bytes
        most = min(max_bytes, WS_SEND_QUEUE_STALL_BYTES)
        if not self._transport.is_closing():
            self._transport.set_write_buffer_limits(high=most)

    def offer(self, frame: bytes) -> bool:
        """Send a frame, if the socket is open.

        Every push comes here for each socket: where nothing is in its way,
        nothing else is asked, of the protocol least of all, because what that
        has is far from the CPU.

        Returns:
            False if more is unread than may be; it is not sent then.
        """
        if self.is_open and self.stalled_since is None and not self._size:
            self._transport.write(frame)
            return True
        return self.offer_soon(frame)

    def offer_soon(self, frame: bytes) -> bool:
        """Send a frame with the others of this turn, if the socket is open.

        Returns:
            False if more is unread than may be; it is not sent then.
        """
        if self.unread_bytes > self._max_bytes:
            self._flush()  # what waits for the turn's end nobody could read
            if self.unread_bytes > self._max_bytes:
                return False
        self.write_soon(frame)
        return True

    def write_soon(self, frame: bytes) -> None:
        """Send a frame with the others of this turn of the event loop."""
        if not self._frames:
            self._turn.at_end(self._flush)
        self._frames.append(frame)
        self._size += len(frame)

    def cut(self, code: int, reason: str) -> None:
        """Close now; what the client does not read on is dropped."""
        self._protocol.cut(code, reason)

    async def drain(self) -> None:
        """Wait until the client has read nearly everything."""
        self._flush()
        await self._protocol.writable.wait()

    def _flush(self) -> None:
        frames = b"".join(self._frames)
        self._frames.clear()  # not another list: a new object for each answer
        self._size = 0
        if frames and self.is_open:
            self._transport.write(frames)
