"""Ended sessions as Redis keeps them for all processes.

A stream, so that who reads from its beginning and then waits at its end
misses nothing, and nobody has to ask again and again.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from app.constants import (
    LOGOUT_TOKEN_MAX_AGE_SECONDS,
    REDIS_SOCKET_TIMEOUT_SECONDS,
    SESSIONS_BATCH_SIZE,
    SESSIONS_WAIT_SECONDS,
    TOKEN_MAX_CLOCK_SKEW_SECONDS,
)
from app.schemas.session import Ended
from app.storage.redis import RRedis

STREAM: Final = "gatehouse:ended-sessions"
LOGOUT_TOKEN: Final = "gatehouse:logout-token:"  # noqa: S105  (a prefix)

_BEGINNING: Final = b"0-0"


class SessionStream:
    """Every method raises what Redis' client does when Redis is away.

    Args:
        redis: Answers at once.
        patient_redis: Leaves it to the caller how long an answer may take.
    """

    def __init__(self, redis: RRedis, patient_redis: RRedis) -> None:
        self._redis = redis.client
        self._patient_redis = patient_redis.client
        self._position = _BEGINNING
        self._cut_off = False

    async def append(
        self, facts: Sequence[Ended], now: float, kept_seconds: float
    ) -> None:
        """Tell every process, and those that will start.

        Args:
            facts: What is told.
            now: Seconds since the epoch.
            kept_seconds: Age at which facts are dropped.
        """
        oldest = int((now - kept_seconds) * 1000)
        commands = self._redis.pipeline(transaction=False)
        for fact in facts:
            fields = msgspec.to_builtins(fact)
            commands.xadd(STREAM, fields, minid=oldest, approximate=False)
        commands.expire(STREAM, int(kept_seconds))
        await commands.execute()

    async def read(self) -> list[Ended]:
        """Return what is new, or nothing after a while."""
        wait = SESSIONS_WAIT_SECONDS
        async with asyncio.timeout(wait + REDIS_SOCKET_TIMEOUT_SECONDS):
            if self._cut_off:
                await self._start_over_if_lost()
            self._cut_off = True
            answer: Any = await self._patient_redis.xread(
                {STREAM: self._position},
                count=SESSIONS_BATCH_SIZE,
                block=int(wait * 1000),
            )
        self._cut_off = False
        entries = [entry for _stream, found in answer for entry in found]
        if entries:
            self._position = entries[-1][0]
        return [_fact(fields) for _id, fields in entries]

    async def _start_over_if_lost(self) -> None:
        """Read from the beginning where the last that was read is gone.

        Redis, or the replica in its place, may have lost it, and may count
        on from an earlier time.
        """
        last = self._position
        if not await self._patient_redis.xrange(STREAM, last, last):
            self._position = _BEGINNING

    async def is_first(self, logout_token_id: str) -> bool:
        """Say whether no process has been brought this logout token yet."""
        seconds = LOGOUT_TOKEN_MAX_AGE_SECONDS + TOKEN_MAX_CLOCK_SKEW_SECONDS
        key = LOGOUT_TOKEN + logout_token_id
        return bool(await self._redis.set(key, 1, nx=True, ex=seconds))


def _fact(fields: dict[bytes, bytes]) -> Ended:
    return Ended(fields[b"whose"].decode(), int(fields[b"until"]))
