"""The way to Redis that limits take: short, and shut while Redis is away."""

import asyncio
from collections.abc import Sequence
from importlib.resources import files
from typing import Any, Protocol

import structlog

from app.constants import (
    LIMITER_REDIS_TIMEOUT_SECONDS,
    LIMITER_RETRY_SECONDS,
    REDIS_CONNECT_TIMEOUT_SECONDS,
)
from app.exceptions import Unavailable
from app.utils.metrics import limiter_fallback

_PROBE = "return redis.call('SET', KEYS[1], '', 'PX', 1000)"
_PROBE_KEY = "gatehouse:limit-probe"

logger = structlog.get_logger(__name__)


def read_script(name: str) -> str:
    """Return a script of this package."""
    return (files(__package__) / name).read_text()


class ScriptRunner(Protocol):
    """Runs scripts where every process finds the same data."""

    async def run_script(
        self,
        script: str,
        keys: Sequence[str],
        arguments: Sequence[str | int],
        seconds: float,
    ) -> Any:
        """Return what the script returns; it is sent once.

        Raises:
            Unavailable: It failed, or did not answer in time.
        """


class Gate:
    """Passes scripts on to Redis until one fails, then tries in background.

    So a Redis that swallows everything costs whoever waits for it one short
    wait, and nobody another until it has answered again.

    Args:
        redis: Runs the scripts.
        seconds: How long an answer is waited for.
    """

    def __init__(
        self,
        redis: ScriptRunner,
        seconds: float = LIMITER_REDIS_TIMEOUT_SECONDS,
    ) -> None:
        self._redis = redis
        self._seconds = seconds
        self._lost = asyncio.Event()
        limiter_fallback.set(0)

    @property
    def is_open(self) -> bool:
        """Whether Redis is asked."""
        return not self._lost.is_set()

    async def run(
        self, script: str, keys: Sequence[str], arguments: Sequence[str | int]
    ) -> Any:
        """Return what the script returns.

        Raises:
            Unavailable: Redis is away; it is not asked again before it is
                back.
        """
        if not self.is_open:
            raise Unavailable("Redis is away")
        try:
            return await self._redis.run_script(
                script, keys, arguments, self._seconds
            )
        except Unavailable as error:
            self._shut(error)
            raise

    async def keep(self) -> None:
        """Connect, and look for a Redis that is away, for ever."""
        await self._probe()
        while True:
            await self._lost.wait()
            await asyncio.sleep(LIMITER_RETRY_SECONDS)
            await self._probe()

    async def _probe(self) -> None:
        """Write something: a Redis that can only be read is no use."""
        try:
            await self._redis.run_script(
                _PROBE, [_PROBE_KEY], [], REDIS_CONNECT_TIMEOUT_SECONDS
            )
        except Unavailable as error:
            self._shut(error)
        else:
            self._open()

    def _shut(self, error: Unavailable) -> None:
        if self.is_open:
            self._lost.set()
            limiter_fallback.set(1)
            logger.warning(
                "limits are kept by this process alone", reason=error.detail
            )

    def _open(self) -> None:
        if not self.is_open:
            self._lost.clear()
            limiter_fallback.set(0)
            logger.info("limits are kept in Redis again")
