"""A circuit breaker: who is away is not asked all the time.

After some failures in a row nobody is let through for a while; then one call
is, and its end decides whether all are, or the while is doubled (Nygard,
"Release It!", 5.2). Whoever is not let through is told what the last call was,
so that all say the same of one outage.
"""

import random
import time
from collections.abc import Callable

from gatehouse_operator.errors import KeycloakAway


class Breaker:
    """Lets calls through, or not.

    Args:
        failures: After how many in a row it opens.
        seconds: For how long, the first time.
        most_seconds: For how long, at most.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        failures: int = 5,
        seconds: float = 1.0,
        most_seconds: float = 20.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._allowed = failures
        self._seconds = seconds
        self._most = most_seconds
        self._clock = clock
        self._failures = 0
        self._opens_at = 0.0
        self._why = ""

    @property
    def is_open(self) -> bool:
        """Whether nobody is let through."""
        return self._clock() < self._opens_at

    def check(self) -> None:
        """Let one call through.

        Raises:
            KeycloakAway: It is not to be asked now.
        """
        left = self._opens_at - self._clock()
        if left > 0:
            raise KeycloakAway(self._why, retry_after=left)
        if self._failures >= self._allowed:  # the others wait for this one
            self._opens_at = self._clock() + self._pause()

    def succeeded(self) -> None:
        """Note that it has answered."""
        self._failures = 0
        self._opens_at = 0.0

    def failed(self, why: str) -> None:
        """Note that it has not, and what came instead."""
        self._why = why
        self._failures += 1
        if self._failures >= self._allowed:
            self._opens_at = self._clock() + self._pause()

    def _pause(self) -> float:
        doublings = min(self._failures - self._allowed, 10)
        pause = min(self._seconds * 2.0**doublings, self._most)
        return pause * random.uniform(0.75, 1.25)  # noqa: S311
