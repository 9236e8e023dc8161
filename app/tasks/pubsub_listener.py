"""Takes pushes from Redis, each once and in order, whatever is lost between.

A message that follows the last one is delivered. One that does not, a new
connection, and a second of silence lead to the same: Redis is asked where it
stands, and what is missing is read from the stream. What is there no more is
lost, and the sockets are told so.
"""

import asyncio
from collections.abc import Iterable
from typing import NoReturn

import structlog
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from app.constants import (
    PUSH_RECONNECT_MAX_SECONDS,
    PUSH_RECONNECT_SECONDS,
    PUSH_SILENCE_SECONDS,
    PUSHES_AT_ONCE,
    REDIS_CONNECT_TIMEOUT_SECONDS,
)
from app.exceptions import Unavailable
from app.managers.push_hub import PushHub
from app.schemas.push import Position
from app.storage.pubsub import Numbered, PushStream
from app.utils.reconnecting import Reconnecting

logger = structlog.get_logger(__name__)


class PubSubListener:
    """Listens on a connection of its own.

    Args:
        stream: Where pushes come from.
        hub: Where they go.
    """

    def __init__(self, stream: PushStream, hub: PushHub) -> None:
        self._stream = stream
        self._hub = hub
        self._fails = False
        self._reconnecting = Reconnecting(
            PUSH_RECONNECT_SECONDS, PUSH_RECONNECT_MAX_SECONDS
        )

    async def run(self) -> NoReturn:
        """Listen until cancelled; connect again whenever that fails."""
        while True:
            try:
                await self._listen()
            except (RedisError, OSError, TimeoutError, Unavailable) as error:
                if not self._fails:
                    logger.warning("pushes wait for Redis", reason=repr(error))
                self._fails = True
            await asyncio.sleep(self._reconnecting.pause())

    async def _listen(self) -> None:
        async with self._stream.pubsub() as pubsub:
            async with asyncio.timeout(REDIS_CONNECT_TIMEOUT_SECONDS):
                await pubsub.subscribe(self._stream.channel)
                await pubsub.get_message(timeout=None)  # that it is
            await self._catch_up()
            self._reconnecting.works()
            self._say_that_it_works()
            is_deaf = False
            while not is_deaf:
                if messages := await _received(pubsub):
                    await self._take(messages)
                else:
                    is_deaf = await self._catch_up()

    def _say_that_it_works(self) -> None:
        if self._fails:
            logger.info("pushes come from Redis again")
        self._fails = False

    async def _take(self, messages: Iterable[bytes]) -> None:
        """Deliver what follows the last push, and look for what is missing."""
        last, following = self._hub.position, list[Numbered]()
        for epoch, push in map(self._stream.parse, messages):
            expected = last.seq + 1 + len(following) if last else 0
            if last is None or epoch != last.epoch or push.seq > expected:
                await self._catch_up()
                return
            if push.seq == expected:
                following.append(push)
        if last is not None:
            await self._hub.deliver(last.epoch, following)

    async def _catch_up(self) -> bool:
        """Deliver what is missing, and say whether anything was."""
        last = self._hub.position
        now = await self._stream.publish((), last)
        if last is None:
            await self._hub.move_to(now)
        elif last.epoch != now.epoch:
            logger.warning("pushes are numbered anew", epoch=now.epoch)
            await self._hub.move_to(Position(now.epoch, 0))
        is_behind = self._is_behind(now)
        while self._is_behind(now):
            await self._read(now)
        return is_behind

    def _is_behind(self, now: Position) -> bool:
        last = self._hub.position
        return last is not None and last.seq < now.seq

    async def _read(self, now: Position) -> None:
        last = self._hub.position or now
        pushes = await self._stream.read(last.seq, now.seq)
        following = pushes[0].seq if pushes else now.seq + 1
        if following != last.seq + 1:
            logger.error("pushes lost", count=following - last.seq - 1)
            await self._hub.move_to(Position(now.epoch, following - 1))
        await self._hub.deliver(now.epoch, pushes)


async def _received(pubsub: PubSub) -> list[bytes]:
    """Wait for a message, and return it with those that came with it.

    There is none where nothing comes for a while.
    """
    messages: list[bytes] = []
    while len(messages) < PUSHES_AT_ONCE:
        message = await pubsub.get_message(timeout=PUSH_SILENCE_SECONDS)
        if message is None:
            break
        messages.append(message["data"])
        if pubsub.connection is None or not await pubsub.connection.can_read():
            break
    return messages
