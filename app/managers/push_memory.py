"""The newest pushes, ready to be sent, as each process remembers them."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import msgspec

from app.api.ws.constants import RSPCode
from app.constants import (
    PUSH_CHUNK,
    PUSH_MEMORY_BYTES,
    PUSH_MEMORY_LENGTH,
    PUSH_REQ_ID,
    PUSHES_AT_ONCE,
)
from app.schemas.push import Position, PushBody, PushRead
from app.storage.pubsub import Numbered
from app.utils.frames import text_frame


class Push(NamedTuple):
    """A push as a frame, and whom it is for; None is for everybody."""

    seq: int
    pkg_id: int
    users: frozenset[str] | None
    frame: bytes


def make_push(epoch: str, numbered: Numbered) -> Push:
    """Make the frame of a push, the same for every socket."""
    seq, raw = numbered
    body = msgspec.json.decode(raw, type=PushBody)
    users = None if body.users is None else frozenset(body.users)
    frame = make_frame(body.pkg_id, body.data, Position(epoch, seq))
    return Push(seq, body.pkg_id, users, frame)


def make_frame(pkg_id: int, data: object, meta: Position | None) -> bytes:
    """Make a frame that can be written to any socket."""
    message = PushRead(pkg_id, PUSH_REQ_ID, RSPCode.OK, data, meta)
    return text_frame(msgspec.json.encode(message))


def in_batches(
    pushes: Iterable[Push], most_bytes: int
) -> Iterator[list[Push]]:
    """Yield as many at a time as are sent together.

    Args:
        pushes: Consecutive ones.
        most_bytes: What a socket can be sent in one turn of the event loop.
    """
    batch: list[Push] = []
    room = most_bytes
    for push in pushes:
        room -= len(push.frame)
        if batch and (room < 0 or len(batch) == PUSHES_AT_ONCE):
            yield batch
            batch, room = [], most_bytes - len(push.frame)
        batch.append(push)
    if batch:
        yield batch


class PushMemory:
    """Consecutive pushes, the last one being the newest there is."""

    def __init__(self) -> None:
        self._pushes: deque[Push] = deque()
        self._bytes = 0

    def add(self, push: Push) -> None:
        """Remember the next push; forget the oldest if these are too many."""
        self._pushes.append(push)
        self._bytes += len(push.frame)
        while (
            len(self._pushes) > PUSH_MEMORY_LENGTH
            or self._bytes > PUSH_MEMORY_BYTES
        ):
            self._bytes -= len(self._pushes.popleft().frame)

    def clear(self) -> None:
        """Forget all; what comes now does not follow."""
        self._pushes.clear()
        self._bytes = 0

    def after(self, seq: int) -> Sequence[Push]:
        """Return the first pushes behind a number; none if one is missing."""
        if not self._pushes:
            return ()
        start = seq + 1 - self._pushes[0].seq
        if start < 0:
            return ()
        return tuple(islice(self._pushes, start, start + PUSH_CHUNK))
