"""Frames by way of ASGI alone, for a server that offers none."""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from weakref import ref

from starlette.types import Message, Send

from app.constants import FRAMES_EXTENSION
from app.managers.outlet import Listener, Wire
from app.utils.frames import payload_of


def wire_of(extensions: dict[str, Wire], send: Send) -> Wire:
    """Return what frames are written to: the server's own, if it has one."""
    return extensions.get(FRAMES_EXTENSION) or SendQueue(send)


class SendQueue:
    """A socket's connection, written to by a task that waits for others.

    Args:
        send: ASGI's.
    """

    def __init__(self, send: Send) -> None:
        self.is_open = True
        self._send = send
        self._texts: deque[str] = deque()
        self._bytes = 0
        self._max_bytes = 0
        self._since = 0.0
        self._task: asyncio.Task[None] | None = None
        self._listener: Callable[[], Listener | None] = lambda: None

    @property
    def unread_bytes(self) -> int:
        """What was written and has not gone out yet."""
        return self._bytes

    @property
    def stalled_seconds(self) -> float:
        """For how long the client has been reading too slowly; else 0."""
        if not self._texts:
            return 0.0
        return asyncio.get_running_loop().time() - self._since

    @property
    def is_stalled(self) -> bool:
        """Whether anything has not gone out yet."""
        return bool(self._texts)

    def listen(self, listener: Listener) -> None:
        """Tell this one when something does not go out at once."""
        self._listener = ref(listener)  # which has this, and not we it

    def hand_over(self) -> None:
        """Do nothing: messages come to whoever asks to receive them."""

    def pause_reading(self) -> None:
        """Do nothing: who asks for no message is sent none."""

    def resume_reading(self) -> None:
        """Do nothing, as well."""

    def limit(self, max_bytes: int) -> None:
        """Let this much be unread, when frames are offered."""
        self._max_bytes = max_bytes

    def offer(self, frame: bytes) -> bool:
        """Send a frame, if the socket is open.

        Returns:
            False if more is unread than may be; it is not sent then.
        """
        return self.offer_soon(frame)

    def offer_soon(self, frame: bytes) -> bool:
        """Do the same: nothing is sent at once."""
        if self._bytes > self._max_bytes:
            return False
        self.write_soon(frame)
        return True

    def write_soon(self, frame: bytes) -> None:
        """Send a frame, if the socket is open."""
        if not self.is_open:
            return
        text = payload_of(frame).decode()
        self._texts.append(text)
        self._bytes += len(text)
        if self._task is None:
            self._task = asyncio.create_task(self._run())
            listener = self._listener()
            if listener is not None:
                listener.lag()

    def cut(self, code: int, reason: str) -> None:
        """Close now; what the client has not read is dropped."""
        if not self.is_open:
            return
        self.is_open = False
        self._texts.clear()
        self._bytes = 0
        if self._task is not None:
            self._task.cancel()
        message = {"type": "websocket.close", "code": code, "reason": reason}
        self._task = asyncio.create_task(self._try(message))

    async def drain(self) -> None:
        """Wait until the client has read everything."""
        if self._task is not None:
            await asyncio.wait({self._task})

    async def _run(self) -> None:
        while self._texts:
            self._since = asyncio.get_running_loop().time()
            await self._try({"type": "websocket.send", "text": self._texts[0]})
            self._bytes -= len(self._texts.popleft())
        self._task = None

    async def _try(self, message: Message) -> None:
        with suppress(OSError, RuntimeError):  # the client, or we, have gone
            await self._send(message)
