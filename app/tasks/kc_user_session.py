"""Ends the sessions that Keycloak's events say have ended.

Keycloak calls `/auth/backchannel-logout` for some causes only, and one pod of
many; its events tell all of them. One process at a time reads them, every
two seconds: the one that holds a lease in Redis. When it dies, or cannot
reach Keycloak, another takes over where it stopped. How far it has read is
stored once what it read is published, so that nothing is passed over, and
what came shortly before is read again each time, because an event is stored
later than the time it bears, and that is of a clock that may be wrong; a time
to come is taken for now. A process that finds nothing stored reads as far back
as a token can live.

While Redis is away nobody can be the one, and each process reads for itself.
While Keycloak is away nobody's session ends.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from time import time
from typing import Final, NoReturn

import structlog
from redis.asyncio import Redis
from redis.exceptions import LockError, RedisError

from app.constants import (
    KC_EVENTS_CANDIDATE_SECONDS,
    KC_EVENTS_INTERVAL_SECONDS,
    KC_EVENTS_LEASE_SECONDS,
    KC_EVENTS_OVERLAP_SECONDS,
    KC_SESSION_EXPIRY_BUFFER_SECONDS,
    REDIS_SOCKET_TIMEOUT_SECONDS,
)
from app.exceptions import Unavailable
from app.managers.keycloak_events import KeycloakEvents
from app.managers.session_ends import AdminEvent, UserEvent
from app.managers.session_manager import SessionManager
from app.schemas.session import Ended
from app.settings import Settings

LEASE: Final = "gatehouse:kc-events:lease"
READ_UNTIL: Final = "gatehouse:kc-events:read-until"

_REDIS_AWAY: Final = (RedisError, OSError, TimeoutError)

logger = structlog.get_logger(__name__)


class UserSessionTask:
    """Reads the events when it is this process's turn.

    Args:
        settings: Where Keycloak is, and the service's own client.
        redis: Keeps the lease.
        sessions: Is told what has ended.
        clock: Seconds since the epoch.
    """

    def __init__(
        self,
        settings: Settings,
        redis: Redis,
        sessions: SessionManager,
        clock: Callable[[], float] = time,
    ) -> None:
        self._settings = settings
        self._redis = redis
        self._sessions = sessions
        self._clock = clock
        self._events = KeycloakEvents(settings)
        self._lease = redis.lock(
            LEASE, KC_EVENTS_LEASE_SECONDS, blocking=False, thread_local=False
        )
        self._read_until = 0
        self._stored = 0
        self._known: frozenset[str] = frozenset()
        self.reading: bool | None = None

    async def run(self) -> None:
        """Look for ended sessions until cancelled."""
        if self._settings.keycloak_service_client_secret is None:
            logger.warning(
                "events of Keycloak are not read",
                reason="KEYCLOAK_SERVICE_CLIENT_SECRET is not set",
            )
            return
        while True:
            ours = await self._is_our_turn()
            if ours:
                await self._look_or_resign()
            await asyncio.sleep(
                KC_EVENTS_INTERVAL_SECONDS
                if ours
                else KC_EVENTS_CANDIDATE_SECONDS
            )

    async def close(self) -> None:
        """Leave the work to another process at once."""
        await self._resign()
        await self._events.close()

    async def _is_our_turn(self) -> bool:
        try:
            async with asyncio.timeout(REDIS_SOCKET_TIMEOUT_SECONDS):
                return await self._renew() or await self._take_over()
        except _REDIS_AWAY:
            return True

    async def _renew(self) -> bool:
        try:
            await self._lease.reacquire()
        except LockError:
            return False
        if self._stored != self._read_until and self._sessions.all_published:
            await self._redis.set(READ_UNTIL, self._read_until)
            self._stored = self._read_until
        return True

    async def _take_over(self) -> bool:
        # First: with the lease and without this, what nobody has read would
        # be passed over.
        stored = int(await self._redis.get(READ_UNTIL) or 0)
        if not await self._lease.acquire():
            # Another reads, and is trusted to have come this far.
            trusted = self._clock() - KC_SESSION_EXPIRY_BUFFER_SECONDS
            self._read_until = int(trusted * 1000)
            return False
        self._stored = stored
        self._read_until = min(stored, self._now())
        self._known = frozenset()
        return True

    async def _look_or_resign(self) -> None:
        keeping = asyncio.create_task(self._keep_lease())
        trouble = None
        try:
            await self.look()
        except Unavailable as error:
            trouble = error.detail
        finally:
            keeping.cancel()
            await asyncio.wait([keeping])
        self._say(trouble)
        if trouble is not None:
            await self._resign()

    async def _keep_lease(self) -> NoReturn:
        """Renew the lease while there is a lot to read."""
        while True:
            await asyncio.sleep(KC_EVENTS_CANDIDATE_SECONDS)
            with suppress(*_REDIS_AWAY):
                async with asyncio.timeout(REDIS_SOCKET_TIMEOUT_SECONDS):
                    await self._lease.reacquire()

    async def _resign(self) -> None:
        try:
            async with asyncio.timeout(REDIS_SOCKET_TIMEOUT_SECONDS):
                await self._lease.release()
        except _REDIS_AWAY:
            pass  # it runs out by itself

    async def look(self) -> None:
        """Read what is new, and end what it says has ended.

        Raises:
            Unavailable: Keycloak is away, or refuses; nothing has changed.
        """
        since = self._since()
        events: list[UserEvent | AdminEvent] = [
            *await self._events.user_events(since),
            *await self._events.admin_events(since, self._known),
        ]
        fresh = [event for event in events if event.id not in self._known]
        self._sessions.end(*self._ends(fresh))
        self._known = frozenset(event.id for event in events)
        latest = max((self._read_until, *(event.time for event in events)))
        self._read_until = min(latest, self._now())

    def _now(self) -> int:
        return int(self._clock() * 1000)

    def _since(self) -> int:
        lifetime = self._settings.keycloak_session_max_seconds
        earliest = int((self._clock() - lifetime) * 1000)
        overlap = int(KC_EVENTS_OVERLAP_SECONDS * 1000)
        return max(earliest, self._read_until - overlap)

    def _ends(self, events: list[UserEvent | AdminEvent]) -> Iterator[Ended]:
        for event in events:
            if isinstance(event, AdminEvent):
                yield from event.ends(self._settings.keycloak_client_id)
            else:
                yield from event.ends()

    def _say(self, trouble: str | None) -> None:
        """Log a change of state, once."""
        if trouble is None and not self.reading:
            logger.info("events of Keycloak are read")
        elif trouble is not None and self.reading is not False:
            logger.warning("events of Keycloak are not read", reason=trouble)
        self.reading = trouble is None
