"""What pushes know of one socket."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Final, Protocol

from app.api.ws.constants import CloseCode

_NOTHING: Final[Mapping[int, int]] = {}


class Listener(Protocol):
    """Who is told of what happens on a wire."""

    def take(self, text: str | None) -> None:
        """Take a message; None is a binary frame."""

    def lag(self) -> None:
        """Know that the client does not read all that it is sent."""


class Wire(Protocol):
    """A socket's connection, written to without waiting.

    The server offers it as an extension of ASGI, because a frame of a server
    is the same bytes for every socket: it is made once.
    """

    @property
    def is_open(self) -> bool:
        """Whether anything can still be sent."""

    @property
    def unread_bytes(self) -> int:
        """What was written and has not gone out yet."""

    @property
    def stalled_seconds(self) -> float:
        """For how long the client has been reading too slowly; else 0."""

    @property
    def is_stalled(self) -> bool:
        """Whether the client is reading too slowly now."""

    def listen(self, listener: Listener) -> None:
        """Tell this one when the client lags."""

    def hand_over(self) -> None:
        """Give the listener messages as they come, where the server can."""

    def pause_reading(self) -> None:
        """Read nothing of the client for the time being."""

    def resume_reading(self) -> None:
        """Read on."""

    def offer(self, frame: bytes, most: int) -> bool:
        """Send a frame, if the socket is open.

        Returns:
            False if more than so many bytes are unread; it is not sent then.
        """

    def write_soon(self, frame: bytes) -> None:
        """Send a frame together with others, if the socket is open."""

    def cut(self, code: int, reason: str) -> None:
        """Close now; what the client does not read in time is dropped."""

    async def drain(self) -> None:
        """Wait until the client has read nearly everything."""


class Outlet:
    """The pushes of one socket: which, how far, and what it leaves unread.

    `seen` is the number up to which pushes are settled for it; `ahead` that
    up to which its client has seen those of a kind, maybe from a process that
    is further. While it is `replaying` older ones, new ones wait their turn;
    `turn` is held by the replay that is under way. What most sockets have
    none of is one empty object for all of them, which is near when each is
    asked about a push.

    Args:
        wire: The socket's connection.
        max_bytes: What may be unread.
        max_seconds: For how long it may read too slowly.
    """

    __slots__ = (
        "_max_bytes",
        "_max_seconds",
        "ahead",
        "replaying",
        "seen",
        "turn",
        "unsubscribed",
        "wire",
    )

    def __init__(self, wire: Wire, max_bytes: int, max_seconds: float) -> None:
        self.wire = wire
        self.unsubscribed: frozenset[int] = frozenset()
        self.seen = 0
        self.ahead = _NOTHING
        self.turn = asyncio.Lock()
        self.replaying = 0
        self._max_bytes = max_bytes
        self._max_seconds = max_seconds

    def awaits(self, seq: int, pkg_id: int) -> bool:
        """Say whether its client wants a push of this kind that is new."""
        return pkg_id not in self.unsubscribed and (
            not self.ahead or seq > self.ahead.get(pkg_id, 0)
        )

    def note_seen(self, pkg_ids: Iterable[int], seq: int) -> None:
        """Know up to where its client has seen pushes of these kinds."""
        self.ahead = {**self.ahead, **dict.fromkeys(pkg_ids, seq)}

    def settle(self, seq: int) -> None:
        """Know that its client goes on from here, whatever it has seen."""
        self.seen = seq
        self.ahead = _NOTHING

    def write(self, frame: bytes) -> None:
        """Send a frame, or close a socket that does not read."""
        if not self.wire.offer(frame, self._max_bytes):
            self._cut()

    def look(self) -> bool:
        """Say whether the client lags; close if it does for too long."""
        if self.wire.stalled_seconds > self._max_seconds:
            self._cut()
        return self.wire.is_stalled

    def _cut(self) -> None:
        self.wire.cut(CloseCode.SLOW_READER, "reader too slow")
