"""When a lost connection is opened again.

One that worked is opened at once: what broke it, a restart or something
between that forgets whoever is silent, is most likely over. Who fails waits
before the next attempt, twice as long at most each time up to a bound, and at
random, so that processes do not all come back in one moment. So does who is
cut off as soon as he is there, as after his first failure: a server that does
that to everybody is not asked hundreds of times a second.
"""

from random import uniform
from time import monotonic


class Reconnecting:
    """Says how long to wait before the next attempt.

    Args:
        first: Seconds to wait after one failure, at most; a connection has
            worked if it has for as long.
        most: Seconds to wait after many, at most.
    """

    def __init__(self, first: float, most: float) -> None:
        self._first = first
        self._most = most
        self._bound = first
        self._works_since: float | None = None

    def works(self) -> None:
        """Take note that there is a connection, and that it is good."""
        self._bound = self._first
        self._works_since = monotonic()

    def pause(self) -> float:
        """Return how many seconds to wait, now that there is none."""
        since, self._works_since = self._works_since, None
        if since is not None and monotonic() - since >= self._first:
            return 0.0
        bound = self._bound
        self._bound = min(2 * bound, self._most)
        return uniform(0, bound)  # noqa: S311  (no secret)
