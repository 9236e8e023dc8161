"""Pushes in Redis: one order for all processes, remembered for a while.

One script (`publish.lua`) gives an event the next number, appends it to a
stream of limited length and publishes it. It knows what it has published, so
an event that comes again, because its publisher died before it could say so,
is not pushed again.

Publish and subscribe is fast and forgets; the stream is for what a process
has missed, or a client.
"""

from collections.abc import Iterable, Sequence
from importlib.resources import files
from typing import Any, Final, NamedTuple
from uuid import uuid4

from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from app.constants import (
    PUSH_PUBLISH_SECONDS,
    PUSH_READ_SIZE,
    PUSH_STREAM_LENGTH,
)
from app.exceptions import Unavailable
from app.schemas.push import Position
from app.storage.outbox import Event
from app.storage.redis import RRedis

_SCRIPT: Final = (files(__package__) / "publish.lua").read_text()
_KEYS: Final = (
    "gatehouse:push:position",
    "gatehouse:push:stream",
    "gatehouse:push:published",
)
_STREAM: Final = _KEYS[1]


class Numbered(NamedTuple):
    """A push's number in its epoch, and its body."""

    seq: int
    body: bytes


class PushStream:
    """The pushes of one database of a Redis server.

    Args:
        redis: Where they are remembered.
        listening: For a connection that waits, without a deadline.
    """

    def __init__(self, redis: RRedis, listening: RRedis) -> None:
        self._redis = redis
        self._listening = listening
        # Channels, unlike keys, are the whole server's.
        self.channel = f"gatehouse:push:{redis.database}"

    async def publish(
        self,
        events: Iterable[Event],
        known: Position | None,
        seconds: float = PUSH_PUBLISH_SECONDS,
    ) -> Position:
        """Push these events, but for those that have been, in this order.

        Args:
            events: Those to push; with none, only the position is found.
            known: A position that was seen; numbers never go back to it.
            seconds: How long Redis may take.

        Raises:
            Unavailable: Redis is away; what was pushed is not known.
        """
        seen = known or Position("", 0)
        arguments: list[str | int] = [
            *(self.channel, uuid4().hex, seen.epoch, seen.seq),
            PUSH_STREAM_LENGTH,
        ]
        for event in events:
            arguments += [str(event.key), event.body.decode()]
        epoch, seq = await self._redis.run_script(
            _SCRIPT, _KEYS, arguments, seconds
        )
        return Position(epoch.decode(), seq)

    async def read(self, after: int, until: int) -> Sequence[Numbered]:
        """Return the first pushes behind a number that are still there.

        Raises:
            Unavailable: Redis is away.
        """
        try:
            entries: Any = await self._redis.client.xrange(
                _STREAM, f"{after + 1}-0", f"{until}-0", PUSH_READ_SIZE
            )
        except (RedisError, OSError, TimeoutError):
            raise Unavailable("Redis cannot be reached") from None
        return [
            Numbered(int(entry.partition(b"-")[0]), fields[b"body"])
            for entry, fields in entries
        ]

    def pubsub(self) -> PubSub:
        """Return a connection of its own that can be subscribed."""
        return self._listening.client.pubsub()

    @staticmethod
    def parse(message: bytes) -> tuple[str, Numbered]:
        """Return the epoch and the push of a message."""
        epoch, seq, body = message.split(b" ", 2)
        return epoch.decode(), Numbered(int(seq), body)
