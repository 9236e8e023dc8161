"""`RateLimiter`: who may go on, decided here or in Redis."""

import asyncio
import time
from collections.abc import Callable, Iterable

from app import constants as c
from app.exceptions import Unavailable
from app.utils.rate_limiter.gate import Gate, read_script
from app.utils.rate_limiter.local import LocalLimiter
from app.utils.rate_limiter.verdict import Verdict
from app.utils.rate_limiter.window import Limit, Order, Window

_TAKE = read_script("take.lua")
_PREFIX = "gatehouse:limit:"


class RateLimiter:
    """Admits so many calls of a key in any stretch of time, over all pods.

    Args:
        gate: The way to Redis.
        clock: Seconds that only ever rise.
    """

    def __init__(
        self, gate: Gate, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._gate = gate
        self._clock = clock
        self._local = LocalLimiter(clock)
        self._windows: dict[str, Window] = {}
        self._queue: dict[str, tuple[Window, bool]] = {}
        self._sender: asyncio.Task[None] | None = None

    async def check_rate_limit(
        self, key: str, limit: int, window_seconds: float, burst: int = 0
    ) -> Verdict:
        """Count one call and say whether it is admitted.

        It does not suspend while there is a lease. It never fails: without
        Redis this process decides alone.

        Args:
            key: Who or what calls.
            limit: Calls in a window.
            window_seconds: How long the window is.
            burst: Calls that a window admits besides.
        """
        made = Limit(limit, window_seconds, burst)
        return self.decide(key, made) or await self.ask(key)

    def decide(self, key: str, limit: Limit) -> Verdict | None:
        """Count one call and say whether it is admitted, if there is a lease.

        Whoever takes the last token of a lease that many calls have used
        orders the next one, so that a busy key does not wait for Redis.

        Returns:
            The verdict; None if nothing was counted and `ask` has to.
        """
        window = self._window(key, limit)
        verdict = window.decide(self._clock())
        if window.is_used_up and verdict is not None and verdict.is_allowed:
            self._order_ahead(window)
        return verdict

    async def ask(self, key: str) -> Verdict:
        """Count one call by way of Redis, right after `decide` had to say."""
        window = self._windows[key]
        if not self._gate.is_open:
            return self._decide_alone(window, self._clock())
        waiter = window.wait()
        self._enqueue(window, hold=True)
        return await waiter

    def exhausted(self, key: str) -> Verdict | None:
        """Return the refusal that calls of this key would get, if any.

        Nothing is counted, and only what this process was told is known.
        """
        window = self._windows.get(key)
        return None if window is None else window.exhausted(self._clock())

    async def run(self) -> None:
        """Renew leases in use and give back the others, for ever."""
        while True:
            await asyncio.sleep(c.LIMITER_SWEEP_SECONDS)
            self.sweep()

    def sweep(self) -> None:
        """Order what leases need, and forget keys that nobody uses.

        Only so many leases are renewed: beyond that it would cost Redis
        more than it saves.
        """
        now = self._clock()
        renewals = c.LIMITER_RENEWALS
        for window in list(self._windows.values()):
            due = window.is_due(now)
            hold = due and renewals > 0 and window.is_busy(now)
            renewals -= hold
            if hold or (due and window.has_unused()):
                self._enqueue(window, hold=hold)
            elif window.is_forgettable(now):
                del self._windows[window.key]

    async def close(self) -> None:
        """Give back every lease."""
        for window in self._windows.values():
            if window.has_unused():
                self._enqueue(window, hold=False)
        if self._sender is not None:
            await self._sender

    def _window(self, key: str, limit: Limit) -> Window:
        window = self._windows.get(key)
        if window is None:
            window = self._windows[key] = Window(key, limit)
        elif window.limit is not limit:
            window.limit = limit
        return window

    def _decide_alone(self, window: Window, now: float) -> Verdict:
        limit = window.limit
        verdict = self._local.check(window.key, limit.capacity, limit.seconds)
        window.remember(verdict, now)
        return verdict

    def _order_ahead(self, window: Window) -> None:
        if self._gate.is_open:
            self._enqueue(window, hold=True)

    def _enqueue(self, window: Window, *, hold: bool) -> None:
        self._queue[window.key] = (window, hold)
        if self._sender is None or self._sender.done():
            self._sender = asyncio.create_task(self._send())

    async def _send(self) -> None:
        """Send what is queued, in as few scripts as may be, one at a time.

        What is queued while one is under way goes with the next. Every turn
        waits for Redis or leaves the queue shorter, so it cannot spin.
        """
        while self._queue:
            keys = list(self._queue)[: c.LIMITER_BATCH]
            batch = [self._queue.pop(key) for key in keys]
            await self._exchange(batch)

    async def _exchange(self, batch: list[tuple[Window, bool]]) -> None:
        sent = self._clock()
        orders = [window.order(sent, hold=hold) for window, hold in batch]
        windows = [window for window, _ in batch]
        try:
            answer = await self._gate.run(
                _TAKE,
                [_PREFIX + window.key for window in windows],
                _arguments(orders),
            )
        except BaseException as error:
            self._serve_alone(windows)  # nobody waits for what never comes
            if isinstance(error, Unavailable):
                return
            raise
        now = self._clock()
        for i, window in enumerate(windows):
            part = answer[4 * i : 4 * i + 4]
            window.receive(orders[i].wanted, part, sent, now)
            if window.has_waiters:
                self._queue[window.key] = (window, True)
            else:  # who came meanwhile has been served of this lease
                self._unqueue(window)

    def _unqueue(self, window: Window) -> None:
        """Send no order of this window; one of its key may be another's."""
        queued, _ = self._queue.get(window.key, (None, False))
        if queued is window:
            del self._queue[window.key]

    def _serve_alone(self, windows: Iterable[Window]) -> None:
        now = self._clock()
        for window in windows:
            for waiter in window.waiters():
                waiter.set_result(self._decide_alone(window, now))


def _arguments(orders: Iterable[Order]) -> list[str | int]:
    arguments: list[str | int] = [
        int(c.LIMITER_TICK_SECONDS * 1000),
        int(c.LIMITER_LEASE_SECONDS * 1000),
    ]
    for order in orders:
        arguments += order.arguments
    return arguments
