"""What a client does not read is not kept for ever.

A transport that is closed waits for the last byte to be read, and has no
bound: a client that reads nothing would keep its connection, and the memory
of what was written to it.
"""

import asyncio


class ReadWatch:
    """Aborts a transport whose client reads nothing of what waits for it.

    One that reads, however slowly, keeps its connection. Nothing may be
    written meanwhile. The watch ends by itself when all has been read.

    Args:
        transport: Whose buffer is watched.
        seconds: For how long a client may read nothing.
    """

    __slots__ = ("_left", "_seconds", "_timer", "_transport")

    def __init__(self, transport: asyncio.Transport, seconds: float) -> None:
        self._transport = transport
        self._seconds = seconds
        self._timer: asyncio.TimerHandle | None = None
        self._left = transport.get_write_buffer_size()
        self._look_later()

    def stop(self) -> None:
        """Watch no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look_later(self) -> None:
        if self._left:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._seconds, self._look)

    def _look(self) -> None:
        self._timer = None
        before = self._left
        self._left = self._transport.get_write_buffer_size()
        if self._left < before:
            self._look_later()
        else:
            self._transport.abort()
