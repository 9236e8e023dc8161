"""Whether what a process needs is there."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping

from app.constants import HEALTH_CACHE_SECONDS, HEALTH_CHECK_TIMEOUT_SECONDS

Check = Callable[[], Awaitable[object]]
States = dict[str, str]

UP = "up"
DOWN = "down"


class Health:
    """Asks each server whether it answers, together and not too often.

    However many probes ask at once, a server is asked once, and not again
    within `HEALTH_CACHE_SECONDS`.

    Args:
        checks: For each part a coroutine function that raises, or returns
            False, when the part is not usable.
    """

    def __init__(self, checks: Mapping[str, Check]) -> None:
        self._checks = checks
        self._lock = asyncio.Lock()
        self._states: States = {}
        self._asked_at = float("-inf")

    async def states(self) -> States:
        """Say `up` or `down` for each part."""
        async with self._lock:
            if time.monotonic() - self._asked_at > HEALTH_CACHE_SECONDS:
                names = list(self._checks)
                answers = await asyncio.gather(*map(self._ask, names))
                self._states = dict(zip(names, answers, strict=True))
                self._asked_at = time.monotonic()
            return self._states

    async def _ask(self, name: str) -> str:
        try:
            async with asyncio.timeout(HEALTH_CHECK_TIMEOUT_SECONDS):
                answer = await self._checks[name]()
        except Exception:  # noqa: BLE001  (whatever it is, it is down)
            return DOWN
        return DOWN if answer is False else UP
