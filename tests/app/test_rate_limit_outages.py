"""Limits while Redis is away, slow, full or read-only."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from app import constants as c
from app.exceptions import Unavailable
from app.utils.metrics import limiter_fallback
from app.utils.rate_limiter import ConnectionLimiter, Gate, RateLimiter
from tests.fixtures.limits import DATABASE, MakeLimiter, MakeRedis
from tests.fixtures.proxy import Proxy
from tests.fixtures.servers import Servers
from tests.fixtures.service import AsUser, MakeService

LIMIT = {"limit": 60, "window_seconds": 60, "burst": 10}
SECONDS = 20


@pytest.fixture
def wire(servers: Servers) -> Iterator[Proxy]:
    """The wire to Valkey."""
    proxy = Proxy(servers.redis_url)
    proxy.start()
    yield proxy
    proxy.stop()


def wired_url(servers: Servers, wire: Proxy) -> str:
    """Return Valkey's URL over that wire."""
    return f"{wire.via(servers.redis_url)}/{DATABASE}"


class BlackHole:
    """A Redis that swallows everything, or fails, as a test says."""

    def __init__(self) -> None:
        self.calls = 0
        self.is_away = True

    async def run_script(self, *arguments: Any) -> Any:
        """Wait as long as one may, then fail."""
        self.calls += 1
        if self.is_away:
            await asyncio.sleep(arguments[-1])
            raise Unavailable("Redis did not answer in time")
        return []


async def admitted(limiter: RateLimiter, key: str, count: int) -> int:
    """Return how many of so many calls are admitted."""
    verdicts = await asyncio.gather(
        *(limiter.check_rate_limit(key, **LIMIT) for _ in range(count))
    )
    return sum(verdict.is_allowed for verdict in verdicts)


async def test_a_black_hole_is_waited_for_once(key: str) -> None:
    """The first callers wait 100 ms, all others not at all."""
    hole = BlackHole()
    limiter = RateLimiter(Gate(hole))
    began = time.monotonic()
    assert 70 == await admitted(limiter, key, 100)
    assert c.LIMITER_REDIS_TIMEOUT_SECONDS <= time.monotonic() - began < 1
    with pytest.raises(StopIteration) as decided:
        limiter.check_rate_limit(f"{key}:b", **LIMIT).send(None)
    assert (True, 1) == (decided.value.value.is_allowed, hole.calls)


async def test_the_loop_goes_on(key: str) -> None:
    """While Redis is waited for, everything else goes on."""
    limiter = RateLimiter(Gate(BlackHole()))
    waiting = asyncio.ensure_future(limiter.check_rate_limit(key, **LIMIT))
    turns = 0
    while not waiting.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 100


async def test_state_is_told_once(
    key: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A change of state is one log line and a gauge, each way."""
    hole = BlackHole()
    gate = Gate(hole)
    limiter = RateLimiter(gate)
    name = "app.utils.rate_limiter.gate"
    with caplog.at_level("INFO", name):
        for _ in range(3):
            await limiter.check_rate_limit(key, **LIMIT)
        assert 1.0 == limiter_fallback._value.get()
        hole.is_away = False
        await gate._probe()
        await gate._probe()
    assert 0.0 == limiter_fallback._value.get()
    # Other services of this test run may have something to say, too.
    said = [r.levelname for r in caplog.records if r.name == name]
    assert ["WARNING", "INFO"] == said


async def test_sockets_without_redis() -> None:
    """Sockets of this process are still limited, and are never stuck."""
    sockets = ConnectionLimiter(Gate(BlackHole()), 5)
    results = await asyncio.gather(
        *(sockets.add_connection("user", str(i)) for i in range(50))
    )
    assert 5 == sum(results)
    await sockets.remove_connection("user", "0")
    assert await sockets.add_connection("user", "again")


@pytest.fixture
async def admin(servers: Servers) -> AsyncIterator[Redis]:
    """A connection that may change what Valkey is."""
    async with Redis.from_url(servers.redis_url) as redis:
        yield redis
        await redis.config_set("maxmemory", 0)
        await redis.replicaof("NO", "ONE")


Break = Callable[[Redis], Any]


@pytest.mark.parametrize(
    "break_it",
    [
        lambda redis: redis.config_set("maxmemory", 1),
        lambda redis: redis.replicaof("127.0.0.1", "1"),
    ],
    ids=["full", "read-only"],
)
async def test_a_redis_that_cannot_be_written(
    admin: Redis, make_limiter: MakeLimiter, key: str, break_it: Break
) -> None:
    """It is as good as away; a probe that only reads is not believed."""
    limiter = make_limiter()
    assert 10 == await admitted(limiter, f"{key}:before", 10)
    await break_it(admin)
    assert 70 == await admitted(limiter, key, 100)
    await limiter._gate._probe()
    assert not limiter._gate.is_open
    await admin.config_set("maxmemory", 0)
    await admin.replicaof("NO", "ONE")
    await limiter._gate._probe()
    assert limiter._gate.is_open


async def test_a_slow_redis(
    admin: Redis, make_redis: MakeRedis, key: str
) -> None:
    """Nobody waits for it longer than 100 ms or so."""
    limiter = RateLimiter(Gate(make_redis()))
    assert 1 == await admitted(limiter, key, 1)
    await admin.client_pause(1000)
    began = time.monotonic()
    assert 1 == await admitted(limiter, f"{key}:b", 1)
    assert time.monotonic() - began < 0.5
    await admin.client_unpause()
    await limiter.close()


async def test_a_debit_whose_answer_is_lost(
    make_redis: MakeRedis, servers: Servers, wire: Proxy, key: str
) -> None:
    """It is not sent again: Redis has counted one call, and not two."""
    redis = make_redis()
    cut = make_redis(redis_url=wired_url(servers, wire))
    limiter, other = RateLimiter(Gate(cut, SECONDS)), RateLimiter(Gate(redis))
    assert 1 == await admitted(limiter, f"{key}:before", 1)
    wire.swallow_answers()
    call = asyncio.create_task(limiter.check_rate_limit(key, **LIMIT))
    async with asyncio.timeout(SECONDS):
        while not await redis.client.exists(f"gatehouse:limit:{key}"):
            pass
    wire.reset()
    wire.release()
    assert (await call).is_allowed
    assert not limiter._gate.is_open
    assert 69 == await admitted(other, key, 100)
    for mine in (limiter, other):
        await mine.close()


async def test_away_and_back(
    make_service: MakeService,
    make_redis: MakeRedis,
    servers: Servers,
    wire: Proxy,
    as_user: AsUser,
) -> None:
    """A service goes on, still bounded, and counts in Redis again later."""
    await make_redis().client.flushdb()
    with make_service(
        rate_limit_enabled=True,
        rate_limit_timeout_seconds=0.1,
        redis_url=wired_url(servers, wire),
    ) as service:
        async with httpx.AsyncClient(base_url=service.url) as client:

            async def ask(name: str, count: int) -> int:
                answers = await asyncio.gather(
                    *(
                        client.get("/me", headers=as_user(name))
                        for _ in range(count)
                    )
                )
                found = [answer.status_code for answer in answers]
                assert {200, 429} >= set(found)
                return found.count(200)

            assert 20 == await ask("editor", 20)
            wire.stop()
            assert 70 == await ask("reader", 100)
            assert not service.container.gate.is_open
            wire.start()
            async with asyncio.timeout(SECONDS):
                while not service.container.gate.is_open:
                    await client.get("/livez")
            assert 47 <= await ask("editor", 100) <= 50  # a lease was lost
