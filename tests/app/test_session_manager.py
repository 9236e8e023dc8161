"""Facts about ended sessions: what they void, how long, who is told."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from structlog.testing import capture_logs

from app.constants import (
    KC_EVENTS_LEASE_SECONDS,
    KC_SESSION_EXPIRY_BUFFER_SECONDS,
    TOKEN_MAX_CLOCK_SKEW_SECONDS,
)
from app.managers.session_ends import AdminEvent, UserEvent
from app.managers.session_manager import SessionManager
from app.schemas.session import EVERYBODY, Ended
from app.schemas.user import UserModel
from app.settings import Settings
from app.storage.redis import RRedis
from app.storage.session_stream import STREAM, SessionStream
from app.tasks.kc_user_session import LEASE, READ_UNTIL, UserSessionTask
from app.types import UserId, Username
from tests.fixtures.proxy import Proxy
from tests.fixtures.servers import Servers
from tests.fixtures.tokens import Clock

LIFE_SECONDS = 100
REDIS_DB = 14
AWAY = "redis://127.0.0.1:9"


def user(issued_at: int = 1000) -> UserModel:
    return UserModel(
        id=UserId("sub"),
        username=Username("u"),
        expires_at=0,
        issued_at=issued_at,
        session_id="sid",
        token_id="jti",
    )


def settings(servers: Servers, **changes: str) -> Settings:
    given = {name.lower(): v for name, v in servers.environment.items()}
    return Settings.model_validate({**given, **changes})


class Process:
    """The part of a process that knows of ended sessions."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._redis = RRedis(settings, REDIS_DB)
        self._patient = RRedis(settings, REDIS_DB, hurried=True)
        stream = SessionStream(self._redis, self._patient)
        self.sessions = SessionManager(stream, LIFE_SECONDS, clock)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[SessionManager]:
        """Let it learn and publish."""
        task = asyncio.create_task(self.sessions.run())
        try:
            yield self.sessions
        finally:
            task.cancel()
            await asyncio.wait([task])
            await self.close()

    async def close(self) -> None:
        """Close its connections."""
        await self._redis.close()
        await self._patient.close()


@pytest.fixture
async def process(
    servers: Servers, clock: Clock
) -> AsyncIterator[Callable[..., Process]]:
    """A function that makes processes that have nothing in Redis yet."""
    redis = RRedis(settings(servers), REDIS_DB)
    await redis.client.delete(STREAM)
    yield lambda **changes: Process(settings(servers, **changes), clock)
    await redis.close()


async def until_true(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110  (a deadline bounds it)
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("whose", ["sid", "sub", "jti", EVERYBODY])
async def test_time_decides(
    process: Callable[..., Process], clock: Clock, whose: str
) -> None:
    """What was issued up to the fact's second is void, later is good."""
    clock.ahead = 1000 - clock()
    made = process()
    made.sessions.end(Ended("nobody", 1000), Ended(whose, 1000))
    void = [made.sessions.has_ended(user(at)) for at in (999, 1000, 1001)]
    await made.close()
    assert [True, True, False] == void


async def test_the_latest_fact_counts(
    process: Callable[..., Process], clock: Clock
) -> None:
    """Facts may come in any order."""
    clock.ahead = 1000 - clock()
    made = process()
    made.sessions.end(Ended("sub", 1000), Ended("sub", 990))
    assert made.sessions.has_ended(user(1000))
    await made.close()


async def test_facts_are_forgotten(
    process: Callable[..., Process], clock: Clock
) -> None:
    """A fact is kept while a token that it voids can live, and no longer."""
    clock.ahead = 1000 - clock()
    made = process()
    made.sessions.end(Ended("sub", 1000))
    clock.ahead += LIFE_SECONDS + KC_SESSION_EXPIRY_BUFFER_SECONDS - 5
    made.sessions.end(Ended("other", 1100))
    assert made.sessions.has_ended(user())
    clock.ahead += 6
    made.sessions.end(Ended("third", 1150))
    assert not made.sessions.has_ended(user())
    assert {"other": 1100, "third": 1150} == made.sessions._ended
    await made.close()


async def test_processes_tell_each_other(
    process: Callable[..., Process], clock: Clock
) -> None:
    """A running process and one that starts later know the same."""
    now = int(clock())
    first, second, late = process(), process(), process()
    async with first.running() as teller, second.running() as hearer:
        teller.end(Ended("sub", now))
        await until_true(lambda: hearer.has_ended(user(now)))
        async with late.running() as newcomer:
            await until_true(lambda: newcomer.has_ended(user(now)))


async def test_a_cut_wire_hides_nothing(
    servers: Servers, process: Callable[..., Process], clock: Clock
) -> None:
    """What is told while a process cannot hear is heard afterwards."""
    now = int(clock())
    proxy = Proxy(servers.redis_url)
    proxy.start()
    credentials = servers.redis_url.rpartition("@")[0]
    address = proxy.url.removeprefix("http://")
    cut = process(redis_url=f"{credentials}@{address}")
    async with process().running() as teller, cut.running() as hearer:
        await until_true(lambda: hearer._listening is True)
        proxy.stop()
        teller.end(Ended("sub", now))
        await until_true(lambda: teller.all_published)
        await until_true(lambda: hearer._listening is False)
        assert not hearer.has_ended(user(now))
        proxy.start()
        await until_true(lambda: hearer.has_ended(user(now)))
    proxy.stop()


async def test_more_facts_than_a_batch_are_heard(
    process: Callable[..., Process], clock: Clock
) -> None:
    """Every fact arrives, however many there are."""
    now = int(clock())
    facts = [Ended(str(number), now) for number in range(1234)]
    async with process().running() as teller, process().running() as hearer:
        teller.end(*facts)
        await until_true(lambda: len(hearer._ended) == len(facts))
        await until_true(lambda: teller.all_published)


async def test_redis_keeps_no_more_than_is_needed(
    servers: Servers, process: Callable[..., Process], clock: Clock
) -> None:
    """The stream has an end of life, and what is too old leaves it."""
    redis = RRedis(settings(servers), REDIS_DB)
    kept = LIFE_SECONDS + KC_SESSION_EXPIRY_BUFFER_SECONDS
    await redis.client.xadd(STREAM, {"whose": "old", "until": 1}, id="1-1")
    async with process().running() as teller:
        teller.end(Ended("sub", int(clock())))
        await until_true(lambda: teller.all_published)
    entries: Any = await redis.client.xrange(STREAM)
    assert [b"sub"] == [fields[b"whose"] for _id, fields in entries]
    assert 0 < await redis.client.ttl(STREAM) <= kept
    await redis.close()


async def test_a_fact_of_the_future_keeps_no_other(
    process: Callable[..., Process], clock: Clock
) -> None:
    """Each is forgotten in its time, in whichever order they came."""
    clock.ahead = 1000 - clock()
    made = process()
    made.sessions.end(Ended(EVERYBODY, 10**9), Ended("sub", 1000))
    clock.ahead += LIFE_SECONDS + KC_SESSION_EXPIRY_BUFFER_SECONDS + 1
    made.sessions.end(Ended("other", 1190))
    assert {EVERYBODY, "other"} == made.sessions._ended.keys()
    await made.close()


async def test_facts_that_cannot_be_told_wait(
    process: Callable[..., Process], clock: Clock
) -> None:
    """With Redis away they hold here, and wait for as long as they matter."""
    now = int(clock())
    made = process(redis_url=AWAY)
    with capture_logs() as logs:
        async with made.running() as sessions:
            sessions.end(Ended("old", now), Ended("old too", now))
            await until_true(lambda: sessions._listening is False)
            assert {"old", "old too"} == sessions._waiting.keys()
            clock.ahead += LIFE_SECONDS + KC_SESSION_EXPIRY_BUFFER_SECONDS + 1
            sessions.end(Ended("new", int(clock())))
            assert ["new"] == list(sessions._waiting)
            assert ["new"] == list(sessions._ended)
            assert await sessions.is_first("any")
    assert 1 == [log["event"] for log in logs].count("ended sessions unheard")


async def test_all_events_of_a_day_are_told(
    process: Callable[..., Process], clock: Clock
) -> None:
    """Who starts later knows all that was read at once, the newest first."""
    now = int(clock())
    facts = [Ended(str(number), now) for number in range(12_000)]
    async with process().running() as teller, process().running() as hearer:
        teller.end(*facts)
        await until_true(lambda: teller.all_published)
        await until_true(lambda: len(hearer._ended) == len(facts))


async def test_what_redis_has_lost_is_told_again(
    servers: Servers, process: Callable[..., Process], clock: Clock
) -> None:
    """What is read once more is published, though it was known here."""
    now = int(clock())
    redis = RRedis(settings(servers), REDIS_DB)
    async with process().running() as teller:
        teller.end(Ended("sub", now + TOKEN_MAX_CLOCK_SKEW_SECONDS))
        await until_true(lambda: teller.all_published)
        await redis.client.delete(STREAM)
        teller.end(Ended("sub", now))
        async with process().running() as newcomer:
            await until_true(lambda: newcomer.has_ended(user(now)))
    await redis.close()


async def test_a_redis_whose_clock_is_behind_is_heard(
    servers: Servers, process: Callable[..., Process], clock: Clock
) -> None:
    """One that has lost everything may count from an earlier time."""
    now = int(clock())
    redis = RRedis(settings(servers), REDIS_DB)
    proxy = Proxy(servers.redis_url)
    proxy.start()
    credentials = servers.redis_url.rpartition("@")[0]
    address = proxy.url.removeprefix("http://")
    hearing = process(redis_url=f"{credentials}@{address}")
    async with process().running() as teller, hearing.running() as hearer:
        teller.end(Ended("before", now))
        await until_true(lambda: "before" in hearer._ended)
        proxy.stop()
        await until_true(lambda: hearer._listening is False)
        await redis.client.delete(STREAM)
        await redis.client.xadd(
            STREAM, {"whose": "sub", "until": now}, id="1-1"
        )
        proxy.start()
        await until_true(lambda: hearer.has_ended(user(now)))
    proxy.stop()
    await redis.close()


async def test_without_a_secret_no_events_are_read(
    servers: Servers, process: Callable[..., Process]
) -> None:
    """It is said once, and the task is over."""
    without = settings(servers)
    redis = RRedis(without, REDIS_DB)
    task = UserSessionTask(without, redis.client, process().sessions)
    with capture_logs() as logs:
        await task.run()
    await task.close()
    await redis.close()
    expected = "KEYCLOAK_SERVICE_CLIENT_SECRET is not set"
    assert [expected] == [log["reason"] for log in logs]


class Events:
    """What Keycloak would answer; no test can put its clock forward."""

    def __init__(self) -> None:
        self.stored: list[UserEvent] = []

    def log_out(self, session_id: str, at: float) -> None:
        """Store a log-out."""
        number, ms = str(len(self.stored)), int(at * 1000)
        event = UserEvent(number, ms, "LOGOUT", session_id=session_id)
        self.stored.append(event)

    async def user_events(self, since: int) -> list[UserEvent]:
        """Return what is not older than that."""
        return [event for event in self.stored if event.time >= since]

    async def admin_events(
        self, _since: int, _known: frozenset[str]
    ) -> list[AdminEvent]:
        """Return nothing."""
        return []

    async def close(self) -> None:
        """Do nothing."""


@pytest.fixture
async def reader(
    servers: Servers, process: Callable[..., Process], clock: Clock
) -> AsyncIterator[Callable[[Events], UserSessionTask]]:
    """A function that makes readers of events, each as one process has it."""
    made, given = process(), settings(servers)
    redis = RRedis(given, REDIS_DB)
    await redis.client.delete(LEASE, READ_UNTIL)

    def make(events: Events) -> UserSessionTask:
        task = UserSessionTask(given, redis.client, made.sessions, clock)
        task._events = events  # type: ignore[assignment]  # stands in
        return task

    async with made.running():
        yield make
    await redis.close()


@pytest.mark.parametrize("ahead", [30, TOKEN_MAX_CLOCK_SKEW_SECONDS, 3600])
async def test_an_event_of_a_clock_ahead_hides_no_other(
    reader: Callable[[Events], UserSessionTask], clock: Clock, ahead: float
) -> None:
    """An event of the right time is read, here and by who takes over."""
    events = Events()
    first, second = reader(events), reader(events)
    sessions = first._sessions
    assert await first._is_our_turn()
    events.log_out("ahead", clock() + ahead)
    await first.look()
    events.log_out("right", clock())
    await first.look()
    assert {"ahead", "right"} == sessions._ended.keys()
    await until_true(lambda: sessions.all_published)
    assert await first._is_our_turn()
    await first.close()
    events.log_out("later", clock())
    assert await second._is_our_turn()
    assert 0 < second._read_until <= clock() * 1000
    await second.look()
    assert {"ahead", "right", "later"} == sessions._ended.keys()
    await second.close()


async def test_clocks_behind_one_another(
    reader: Callable[[Events], UserSessionTask], clock: Clock
) -> None:
    """An event is read once, though its clock is as far behind as may be."""
    events = Events()
    task = reader(events)
    events.log_out("first", clock())
    await task.look()
    late = clock() - TOKEN_MAX_CLOCK_SKEW_SECONDS
    events.log_out("second", late)
    task._sessions._ended.clear()
    await task.look()
    assert ["second"] == list(task._sessions._ended)
    task._sessions._ended.clear()
    await task.look()
    assert {} == task._sessions._ended
    await task.close()


async def test_a_long_look_is_one(
    reader: Callable[[Events], UserSessionTask], clock: Clock
) -> None:
    """Who reads a lot stays the one who reads, and does not start anew."""
    events = Events()
    first, second = reader(events), reader(events)
    events.log_out("sid", clock())
    user_events = events.user_events

    async def slowly(since: int) -> list[UserEvent]:
        await asyncio.sleep(KC_EVENTS_LEASE_SECONDS + 1)
        return await user_events(since)

    events.user_events = slowly  # type: ignore[method-assign]  # stands in
    assert await first._is_our_turn()
    look = asyncio.create_task(first._look_or_resign())
    while not look.done():
        assert not await second._is_our_turn()
        await asyncio.sleep(0.2)
    assert await first._is_our_turn()
    assert first._read_until == events.stored[0].time
    await first.close()
    await second.close()


async def test_a_take_over_that_breaks_off_passes_nothing_over(
    reader: Callable[[Events], UserSessionTask], clock: Clock
) -> None:
    """What nobody has read is read, though Redis fails in between."""
    events = Events()
    task = reader(events)
    events.log_out("long ago", clock() - 1000)
    redis = task._redis
    await redis.set(LEASE, "another", px=200)
    assert not await task._is_our_turn()
    get = redis.get

    async def fail(_name: str) -> None:
        redis.get = get  # type: ignore[method-assign]  # as it was
        raise ConnectionError

    await asyncio.sleep(0.3)
    redis.get = fail  # type: ignore[assignment,method-assign]  # fails once
    for _ in range(2):
        assert await task._is_our_turn()
        await task.look()
    assert {"0"} == task._known
    await task.close()
