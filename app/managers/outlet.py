"""What pushes know of one socket."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
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

    def limit(self, max_bytes: int) -> None:
        """Let this much be unread, when frames are offered."""

    def offer(self, frame: bytes) -> bool:
        """Send a frame, if the socket is open.

        Returns:
            False if more is unread than may be; it is not sent then.
        """

    def offer_soon(self, frame: bytes) -> bool:
        """Send a frame together with others, if the socket is open.

        Returns:
            False if more is unread than may be; it is not sent then.
        """

    def write_soon(self, frame: bytes) -> None:
        """Send a frame together with others, if the socket is open."""

    def cut(self, code: int, reason: str) -> None:
        """Close now; what the client does not read on is dropped."""

    async def drain(self) -> None:
        """Wait until the client has read nearly everything."""


class Outlet:
    """The pushes of one socket: which, how far, and what it leaves unread.

    `seen` is the number up to which pushes are settled for it; beyond that its
    client may have seen some of a kind, from a process that is further. While
    it `is_replaying` older ones, new ones wait; `turn` is held by the replay
    that is under way. What most sockets have none of is one empty object for
    all of them.

    Args:
        wire: The socket's connection.
        max_bytes: What may be unread.
        max_seconds: For how long it may read too slowly.
    """

    __slots__ = (
        "_ahead",
        "_changed",
        "_holds",
        "_max_seconds",
        "_unsubscribed",
        "seen",
        "turn",
        "wire",
    )

    def __init__(self, wire: Wire, max_bytes: int, max_seconds: float) -> None:
        self.wire = wire
        self.turn = asyncio.Lock()
        self.seen = 0
        self._ahead = _NOTHING
        self._changed: Callable[[], None] | None = None
        self._holds = 0
        self._unsubscribed: frozenset[int] = frozenset()
        self._max_seconds = max_seconds
        wire.limit(max_bytes)

    def watch(self, changed: Callable[[], None] | None) -> None:
        """Call this from now on when other pushes are wanted."""
        self._changed = changed

    @property
    def is_replaying(self) -> bool:
        """Whether new pushes wait for older ones."""
        return self._holds > 0

    def wants(self, pkg_id: int) -> bool:
        """Say whether its client wants pushes of this kind."""
        return pkg_id not in self._unsubscribed

    def awaits(self, seq: int, pkg_id: int) -> bool:
        """Say whether its client wants a push of this kind that is new."""
        return self.wants(pkg_id) and seq > self._ahead.get(pkg_id, 0)

    def is_ready(self, seq: int, pkg_id: int) -> bool:
        """Say whether a push of this kind is to be sent now.

        If so, then those that follow are, too, until something changes.
        """
        return not self._holds and seq > self.seen and self.awaits(seq, pkg_id)

    def subscribe(self, pkg_ids: Iterable[int]) -> None:
        """Send pushes of these kinds."""
        self._unsubscribed = self._unsubscribed.difference(pkg_ids)
        self._note_change()

    def unsubscribe(self, pkg_ids: Iterable[int]) -> None:
        """Send none of these kinds."""
        self._unsubscribed = self._unsubscribed.union(pkg_ids)
        self._note_change()

    def hold(self) -> None:
        """Let new pushes wait for a replay, until it lets go."""
        self._holds += 1
        self._note_change()

    def let_go(self) -> None:
        """Let new pushes wait no longer, at least not for this replay."""
        self._holds -= 1
        self._note_change()

    def note_seen(self, pkg_ids: Iterable[int], seq: int) -> None:
        """Know up to where its client has seen pushes of these kinds."""
        self._ahead = {**self._ahead, **dict.fromkeys(pkg_ids, seq)}
        self._note_change()

    def settle(self, seq: int) -> None:
        """Know that its client goes on from here, whatever it has seen."""
        self.seen = seq
        self._ahead = _NOTHING
        self._note_change()

    def settle_at_least(self, seq: int) -> None:
        """Know that its client has got all pushes up to here."""
        self.seen = max(self.seen, seq)
        self._note_change()

    def write(self, frame: bytes) -> None:
        """Send a frame, or close a socket that does not read."""
        if not self.wire.offer(frame):
            cut_slow_reader(self.wire)

    def look(self) -> bool:
        """Say whether the client lags; close if it does for too long."""
        if self.wire.stalled_seconds > self._max_seconds:
            cut_slow_reader(self.wire)
        return self.wire.is_stalled

    def _note_change(self) -> None:
        if self._changed is not None:
            self._changed()


def cut_slow_reader(wire: Wire) -> None:
    """Close a socket whose client reads too slowly."""
    wire.cut(CloseCode.SLOW_READER, "reader too slow")
