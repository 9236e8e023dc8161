"""Which sessions have ended before their tokens have.

A fact, `Ended`, names whose tokens are void: those of a session (`sid`), of
a user (`sub`), one token (`jti`), or everybody's, as far as they were issued
at or before a second on Keycloak's clock. Time makes a fact good for all
causes: what is issued later, to a user who signs in again, is not concerned.
A token of that very second is taken for an earlier one.

Whoever learns a fact acts on it at once and puts it into a stream of Redis,
which every process reads from its beginning and then waits at the end of. So
processes that run know it within milliseconds, and those that start later
know it as soon as they reach Redis. After a lost connection a process reads
on from where it was, so that nothing is missed.

While Redis is away a fact holds where it is known and waits to be published.
Facts of Keycloak's events reach the others meanwhile because each process
then reads the events itself (`app.tasks.kc_user_session`).

A fact is kept, and waits, for as long as a token that it voids can live.
"""

import asyncio
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from itertools import islice
from time import time
from typing import Final, NoReturn

import structlog
from redis.exceptions import RedisError

from app.constants import (
    KC_SESSION_EXPIRY_BUFFER_SECONDS,
    SESSIONS_BATCH_SIZE,
    SESSIONS_RETRY_SECONDS,
    TOKEN_MAX_CLOCK_SKEW_SECONDS,
)
from app.schemas.session import EVERYBODY, Ended
from app.schemas.user import UserModel
from app.storage.session_stream import SessionStream
from app.utils.jws import session_of

_REDIS_AWAY: Final = (RedisError, OSError, TimeoutError)

logger = structlog.get_logger(__name__)


class SessionManager:
    """Knows what has ended, and tells the other processes.

    Args:
        stream: Through which processes tell each other.
        lifetime_seconds: How long a token can live.
        clock: Seconds since the epoch.
    """

    def __init__(
        self,
        stream: SessionStream,
        lifetime_seconds: float,
        clock: Callable[[], float] = time,
    ) -> None:
        self.news = asyncio.Event()
        self._stream = stream
        self._kept = lifetime_seconds + KC_SESSION_EXPIRY_BUFFER_SECONDS
        self._clock = clock
        self._ended: dict[str, int] = {}
        self._oldest: list[tuple[int, str]] = []
        self._waiting: dict[str, int] = {}
        self._to_publish = asyncio.Event()
        self._listening: bool | None = None

    @property
    def all_published(self) -> bool:
        """Whether the other processes can know all that this one does."""
        return not self._waiting

    def has_ended(self, user: UserModel) -> bool:
        """Say whether the token that names this user is void."""
        ended = self._ended
        marks = (user.session_id, user.id, user.token_id, EVERYBODY)
        if ended.keys().isdisjoint(marks):
            return False
        latest = max([ended[mark] for mark in marks if mark in ended])
        return user.issued_at <= latest

    def end(self, *facts: Ended) -> None:
        """Take these facts for true, here now and elsewhere soon."""
        self._learn(facts)
        for fact in facts:
            # Also what was known, as Redis may have lost it; not what is over.
            if fact.whose in self._ended:
                self._waiting[fact.whose] = self._ended[fact.whose]
        self._to_publish.set()

    def end_session_of(self, refresh_token: str) -> None:
        """End the session of a token with which Keycloak has ended it."""
        session_id = session_of(refresh_token)
        if session_id is not None:
            # It gets no token any more, whatever Keycloak's clock says.
            until = int(self._clock()) + TOKEN_MAX_CLOCK_SKEW_SECONDS
            self.end(Ended(session_id, until))

    async def is_first(self, logout_token_id: str) -> bool:
        """Say whether no process has been brought this logout token yet.

        With Redis away it counts as the first: it only repeats itself.
        """
        try:
            return await self._stream.is_first(logout_token_id)
        except _REDIS_AWAY:
            return True

    async def run(self) -> None:
        """Learn and publish until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._publish_for_ever())
            group.create_task(self._read_for_ever())

    def _learn(self, facts: Sequence[Ended]) -> None:
        over = self._clock() - self._kept
        for fact in facts:
            if fact.until > max(over, self._ended.get(fact.whose, 0)):
                self._ended[fact.whose] = fact.until
                heappush(self._oldest, (fact.until, fact.whose))
                self.news.set()
        self._forget(over)

    def _forget(self, over: float) -> None:
        """Drop what is too old, in whichever order it was heard."""
        while self._oldest and self._oldest[0][0] <= over:
            until, whose = heappop(self._oldest)
            for facts in (self._ended, self._waiting):
                if facts.get(whose) == until:
                    del facts[whose]

    async def _publish_for_ever(self) -> NoReturn:
        while True:
            await self._to_publish.wait()
            self._to_publish.clear()
            try:
                await self._publish()
            except _REDIS_AWAY:
                self._to_publish.set()
                await asyncio.sleep(SESSIONS_RETRY_SECONDS)

    async def _publish(self) -> None:
        while self._waiting:
            some = list(islice(self._waiting.items(), SESSIONS_BATCH_SIZE))
            facts = [Ended(whose, until) for whose, until in some]
            await self._stream.append(facts, self._clock(), self._kept)
            for whose, until in some:
                # Unless a later one has taken its place meanwhile.
                if self._waiting.get(whose) == until:
                    del self._waiting[whose]

    async def _read_for_ever(self) -> NoReturn:
        while True:
            try:
                self._learn(await self._stream.read())
                self._say(None)
            except _REDIS_AWAY as error:
                self._say(error)
                await asyncio.sleep(SESSIONS_RETRY_SECONDS)

    def _say(self, error: Exception | None) -> None:
        """Log a change of state, once."""
        if error is None and not self._listening:
            logger.info("ended sessions are heard of")
        elif error is not None and self._listening is not False:
            logger.warning("ended sessions unheard", reason=repr(error))
        self._listening = error is None
