"""One key of a process: what it has leased, and who waits for more."""

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from app import constants as c
from app.utils.rate_limiter.verdict import Verdict, whole_seconds

NEVER = float("-inf")
NO_LEASE = "0"


class Limit(NamedTuple):
    """At most `rate + burst` admissions in any `seconds`."""

    rate: int
    seconds: float
    burst: int

    @property
    def capacity(self) -> int:
        """How many a window admits."""
        return self.rate + self.burst

    @property
    def largest_lease(self) -> int:
        """How many tokens a process may hold."""
        share = int(self.rate * c.LIMITER_LEASE_FRACTION)
        return max(1, min(c.LIMITER_LEASE_TOKENS, share))

    @property
    def reserve(self) -> int:
        """How few must be free for tokens to be given out one by one."""
        return int(self.capacity * c.LIMITER_RESERVE_FRACTION)


class Order(NamedTuple):
    """For how many is asked, and what the script is told of the key."""

    wanted: int
    arguments: tuple[str | int, ...]


class Window:
    """The part of a key's window that this process may give out.

    A lease starts with one token and doubles while it is used up, so that a
    process keeps from the others no more than it is about to use.
    """

    __slots__ = (
        "_denied_until",
        "_exhausted_until",
        "_lease_size",
        "_moment",
        "_remaining",
        "_resets_at",
        "_tokens",
        "_used",
        "_used_at",
        "_uses",
        "_valid_until",
        "_waiters",
        "key",
        "limit",
    )

    def __init__(self, key: str, limit: Limit) -> None:
        self.key = key
        self.limit = limit
        self._waiters: deque[asyncio.Future[Verdict]] = deque()
        self._moment = NO_LEASE
        self._tokens = self._used = self._remaining = self._uses = 0
        self._lease_size = 1
        self._valid_until = self._used_at = self._resets_at = NEVER
        self._denied_until = self._exhausted_until = NEVER

    def decide(self, now: float) -> Verdict | None:
        """Say what can be said without Redis, else None."""
        if self._tokens and now < self._valid_until:
            return self._take(now)
        if now < self._denied_until:
            return self._verdict(now, is_allowed=False)
        return None

    def exhausted(self, now: float) -> Verdict | None:
        """Return the refusal that holds until the window has room again."""
        if now < self._exhausted_until:
            return self._verdict(now, is_allowed=False)
        return None

    def remember(self, verdict: Verdict, now: float) -> None:
        """Keep in mind what was decided without this window."""
        if not verdict.is_allowed:
            self._resets_at = now + verdict.reset_seconds
            self._exhausted_until = self._resets_at

    def wait(self) -> asyncio.Future[Verdict]:
        """Queue for what Redis will say."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        return waiter

    def waiters(self) -> Iterator[asyncio.Future[Verdict]]:
        """Take those who wait out of the queue, one by one."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                yield waiter

    @property
    def is_used_up(self) -> bool:
        """Whether nothing is left of a lease that many calls have used."""
        return not self._tokens and self._used >= c.LIMITER_MANY_USES

    @property
    def has_waiters(self) -> bool:
        """Whether anybody waits; who has given up does not."""
        while self._waiters and self._waiters[0].done():
            self._waiters.popleft()
        return bool(self._waiters)

    def order(self, now: float, *, hold: bool) -> Order:
        """Give up the lease and ask for another.

        Args:
            now: By this process's clock.
            hold: Ask for one even if nobody waits.
        """
        wanted = sum(not waiter.done() for waiter in self._waiters)
        self._resize(now, wanted)
        arguments = (
            self.limit.capacity,
            int(self.limit.seconds * 1000),
            wanted,
            max(wanted, self._lease_size) if wanted or hold else 0,
            self.limit.reserve,
            self._moment,
            self._used,
            self._tokens,
        )
        self._moment, self._used, self._tokens = NO_LEASE, 0, 0
        return Order(wanted, arguments)

    def _resize(self, now: float, wanted: int) -> None:
        recently = now - self._used_at < c.LIMITER_LEASE_SECONDS
        if self.is_used_up or (wanted and recently):
            largest = self.limit.largest_lease
            self._lease_size = min(self._lease_size * 2, largest)
        elif wanted:
            self._lease_size = 1
        elif not self._used:
            # Two, or each other caller of a quiet key would ask Redis.
            least = min(2, self.limit.largest_lease)
            self._lease_size = max(least, self._lease_size // 2)

    def receive(
        self,
        wanted: int,
        answer: Sequence[bytes | int],
        sent: float,
        now: float,
    ) -> None:
        """Take what Redis granted and give it to those who wait.

        An answer that came so late that the lease is over is not used; the
        next order gives it up.

        Args:
            wanted: For how many it was asked.
            answer: Tokens, their moment, tokens still free, ms until more.
            sent: When it was asked: a lease counts from here.
            now: When the answer was here.
        """
        tokens, moment, self._remaining, reset = map(int, answer)
        self._tokens, self._used = tokens, 0
        self._moment = str(moment) if tokens else NO_LEASE
        self._valid_until = sent + c.LIMITER_LEASE_SECONDS
        self._resets_at = now + reset / 1000
        if now < self._valid_until:
            self._serve(now)
        if tokens:
            self._denied_until = self._exhausted_until = NEVER
        if tokens < wanted and not self._tokens:
            self._deny(now)

    def _serve(self, now: float) -> None:
        while self._tokens and self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(self._take(now))

    def _deny(self, now: float) -> None:
        self._exhausted_until = self._resets_at
        soon = now + c.LIMITER_DENIAL_SECONDS
        self._denied_until = min(soon, self._resets_at)
        for waiter in self.waiters():
            waiter.set_result(self._verdict(now, is_allowed=False))

    def _take(self, now: float) -> Verdict:
        self._tokens -= 1
        self._used += 1
        self._uses += 1
        self._used_at = now
        return self._verdict(now, is_allowed=True)

    def _verdict(self, now: float, *, is_allowed: bool) -> Verdict:
        seconds = whole_seconds(self._resets_at - now, self.limit.seconds)
        remaining = self._tokens + self._remaining if is_allowed else 0
        return Verdict(is_allowed, remaining, seconds)

    def is_due(self, now: float) -> bool:
        """Say whether the lease is about to end."""
        renew_at = self._valid_until - c.LIMITER_RENEW_SECONDS
        return self._moment != NO_LEASE and now >= renew_at

    def is_busy(self, now: float) -> bool:
        """Say whether another lease is likely to be used."""
        return self._uses > 1 and now - self._used_at < c.LIMITER_IDLE_SECONDS

    def has_unused(self) -> bool:
        """Say whether there is anything to give back."""
        return self._tokens > 0

    def is_forgettable(self, now: float) -> bool:
        """Say whether nothing is lost by forgetting this key."""
        return not (
            self._tokens
            or self.has_waiters
            or now < self._exhausted_until
            or now - self._used_at < c.LIMITER_IDLE_SECONDS
        )
