"""The window of one process, for as long as Redis is away."""

from collections import OrderedDict, deque
from collections.abc import Callable

from app.constants import LIMITER_LOCAL_KEYS, LIMITER_TICK_SECONDS
from app.utils.rate_limiter.verdict import Verdict, whole_seconds


class LocalLimiter:
    """A sliding window for each key; the keys used last are remembered.

    Args:
        clock: Seconds that only ever rise.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._windows: OrderedDict[str, _Window] = OrderedDict()

    def check(self, key: str, capacity: int, window_seconds: float) -> Verdict:
        """Admit a call if fewer than `capacity` were in the window."""
        window = self._windows.setdefault(key, _Window())
        self._windows.move_to_end(key)
        if len(self._windows) > LIMITER_LOCAL_KEYS:
            self._windows.popitem(last=False)
        now = self._clock()
        window.forget(now)
        is_allowed = window.used < capacity
        if is_allowed:
            window.add(now + window_seconds)
        return Verdict(
            is_allowed,
            max(0, capacity - window.used),
            whole_seconds(window.next_leave() - now, window_seconds),
        )


class _Window:
    """Calls, added up by the tick in which they leave the window."""

    __slots__ = ("_leaves", "used")

    def __init__(self) -> None:
        self.used = 0
        self._leaves: deque[list[float]] = deque()

    def forget(self, now: float) -> None:
        while self._leaves and self._leaves[0][0] <= now:
            self.used -= int(self._leaves.popleft()[1])

    def add(self, leaves: float) -> None:
        self.used += 1
        if self._leaves and leaves <= self._leaves[-1][0]:
            self._leaves[-1][1] += 1
        else:
            self._leaves.append([leaves + LIMITER_TICK_SECONDS, 1])

    def next_leave(self) -> float:
        return self._leaves[0][0] if self._leaves else 0.0
