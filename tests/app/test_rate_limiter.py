"""The limiter, as several pods that share the real Valkey."""

import asyncio
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app import constants as c
from app.storage.redis import RRedis
from app.utils.rate_limiter import Gate, RateLimiter, Verdict
from app.utils.rate_limiter.window import Limit
from tests.fixtures.limits import (
    DATABASE,
    CountingRedis,
    FakeTime,
    MakeLimiter,
    MakeRedis,
    redis_settings,
)
from tests.fixtures.servers import Servers

WINDOW = 3.0
LIMIT = {"limit": 60, "window_seconds": 60, "burst": 10}


Counted = tuple[FakeTime, CountingRedis, RateLimiter]


@pytest.fixture
async def counted(make_redis: MakeRedis) -> AsyncIterator[Counted]:
    """A pod on a clock that the test moves, whose scripts are counted."""
    time = FakeTime(make_redis())
    redis = CountingRedis(time)  # type: ignore[arg-type]  # has all it needs
    pod = RateLimiter(Gate(redis), clock=time)
    yield time, redis, pod
    await pod.close()


async def admitted(*calls: Coroutine[Any, Any, Verdict]) -> int:
    """Return how many of these calls are admitted."""
    verdicts = await asyncio.gather(*calls)
    return sum(verdict.is_allowed for verdict in verdicts)


@pytest.mark.parametrize("run", range(20))
async def test_many_at_once(
    make_limiter: MakeLimiter, key: str, run: int
) -> None:
    """Of 300 calls over three pods exactly 70 are admitted, every time."""
    pods = [make_limiter() for _ in range(3)]
    calls = [pods[i % 3].check_rate_limit(key, **LIMIT) for i in range(300)]
    assert (run, 70) == (run, await admitted(*calls))


async def test_one_after_the_other(
    make_limiter: MakeLimiter, key: str
) -> None:
    """Calls that take turns over three pods are admitted until 70 are."""
    pods = [make_limiter() for _ in range(3)]
    verdicts = [
        await pods[i % 3].check_rate_limit(key, **LIMIT) for i in range(80)
    ]
    assert [True] * 70 + [False] * 10 == [v.is_allowed for v in verdicts]


async def test_what_a_verdict_says(
    make_limiter: MakeLimiter, key: str
) -> None:
    """What remains falls to zero, and a refusal says when to come back."""
    pod = make_limiter()
    verdicts = [await pod.check_rate_limit(key, **LIMIT) for _ in range(71)]
    assert [*range(69, -1, -1), 0] == [v.remaining for v in verdicts]
    assert (False, 0, 60) == verdicts[-1]


async def test_another_key(make_limiter: MakeLimiter, key: str) -> None:
    """One caller's limit is nobody else's."""
    pod = make_limiter()
    calls = [pod.check_rate_limit(key, **LIMIT) for _ in range(100)]
    assert 70 == await admitted(*calls)
    assert (await pod.check_rate_limit(f"{key}:b", **LIMIT)).is_allowed


async def test_cancelled_callers(make_limiter: MakeLimiter, key: str) -> None:
    """A caller who has gone away costs nobody his turn."""
    pod = make_limiter()
    calls = [
        asyncio.ensure_future(pod.check_rate_limit(key, **LIMIT))
        for _ in range(100)
    ]
    await asyncio.sleep(0)
    for call in calls[:60]:
        call.cancel()
    ends = await asyncio.gather(*calls, return_exceptions=True)
    rest = [pod.check_rate_limit(key, **LIMIT) for _ in range(100)]
    let_in = [e for e in ends if isinstance(e, Verdict) and e.is_allowed]
    assert 70 == len(let_in) + await admitted(*rest)


async def test_a_call_given_up_before_its_order(
    counted: Counted, make_limiter: MakeLimiter, key: str
) -> None:
    """A full window is asked for once on behalf of who has gone away."""
    time, redis, pod = counted
    other = make_limiter(time, clock=time)
    assert 110 == await taken(other, key)
    busy = asyncio.create_task(_check(pod, f"{key}:b"))
    await asyncio.sleep(0)
    call = asyncio.create_task(_check(pod, key))
    await asyncio.sleep(0)
    call.cancel()
    assert (await busy).is_allowed
    assert pod._sender is not None
    async with asyncio.timeout(5):
        await pod._sender
    assert (True, 2) == (call.cancelled(), redis.scripts)


async def test_a_lease_is_not_waited_for(
    make_limiter: MakeLimiter, key: str
) -> None:
    """A call that a lease covers is decided without suspending."""
    pod = make_limiter()
    await pod.check_rate_limit(key, 1000, 60)
    await pod.check_rate_limit(key, 1000, 60)
    with pytest.raises(StopIteration) as decided:
        pod.check_rate_limit(key, 1000, 60).send(None)
    assert decided.value.value.is_allowed


async def test_the_next_lease_of_a_busy_key_is_not_waited_for(
    counted: Counted, key: str
) -> None:
    """Who comes after the last token of a lease finds another one there."""
    _, redis, pod = counted
    limit = Limit(6000, 60, 0)
    for _ in range(100):
        await pod.check_rate_limit(key, *limit)
    scripts, waited = redis.scripts, 0
    for _ in range(10 * c.LIMITER_LEASE_TOKENS):
        waited += pod.decide(key, limit) is None
        if pod._sender is not None:
            await pod._sender
    assert (0, 10) == (waited, redis.scripts - scripts)


async def test_redis_forgets_its_scripts(
    make_limiter: MakeLimiter, make_redis: MakeRedis, key: str
) -> None:
    """A script that Redis does not know any more is sent again, whole."""
    pod = make_limiter()
    await make_redis().client.script_flush()
    verdict = await pod.check_rate_limit(key, **LIMIT)
    assert (True, 69) == verdict[:2]
    assert pod._gate.is_open


async def test_redis_forgets_everything(
    make_limiter: MakeLimiter, make_redis: MakeRedis, key: str
) -> None:
    """After FLUSHDB a window starts anew, and is as large as ever."""
    pods = [make_limiter() for _ in range(3)]
    calls = [pods[i % 3].check_rate_limit(key, **LIMIT) for i in range(30)]
    assert 30 == await admitted(*calls)
    await make_redis().client.flushdb()
    fresh = make_limiter()
    calls = [fresh.check_rate_limit(key, **LIMIT) for _ in range(100)]
    assert 70 == await admitted(*calls)


async def test_clocks_of_pods_may_differ(
    make_limiter: MakeLimiter, key: str
) -> None:
    """What is in a window is decided by the clock of Redis alone."""
    pods = [
        make_limiter(clock=lambda skew=skew: time.monotonic() + skew)
        for skew in (-60, 0, 60)
    ]
    calls = [pods[i % 3].check_rate_limit(key, **LIMIT) for i in range(300)]
    assert 70 == await admitted(*calls)


async def test_keys_go_together(
    make_limiter: MakeLimiter, make_redis: MakeRedis, key: str
) -> None:
    """Callers of many keys who come together cost one script."""
    redis = CountingRedis(make_redis())
    pod = make_limiter(redis)
    calls = [
        pod.check_rate_limit(f"{key}:{i % 150}", **LIMIT) for i in range(450)
    ]
    assert (450, 1) == (await admitted(*calls), redis.scripts)


async def test_a_refusal_is_remembered(
    make_limiter: MakeLimiter, make_redis: MakeRedis, key: str
) -> None:
    """A flood beyond the limit does not reach Redis."""
    redis = CountingRedis(make_redis())
    time = FakeTime(make_redis())
    pod = make_limiter(redis, clock=time)
    await admitted(*[pod.check_rate_limit(key, **LIMIT) for _ in range(71)])
    scripts = redis.scripts
    calls = [pod.check_rate_limit(key, **LIMIT) for _ in range(1000)]
    assert (0, scripts) == (await admitted(*calls), redis.scripts)


async def test_many_messages_of_few_users(counted: Counted, key: str) -> None:
    """200 users with 6,000 messages a minute each cost Redis ≤ 0.05 each."""
    time, redis, pod = counted
    sent = 0
    for second in range(10):
        for tenth in range(100):
            calls = [
                pod.check_rate_limit(f"{key}:{user}", 6000, 60)
                for user in range(200)
                if (user + tenth) % 2
            ]
            sent += await admitted(*calls)
            time.now += 0.01
        assert sent == (second + 1) * 10_000
        pod.sweep()
    assert redis.scripts / sent <= 0.05


async def test_few_messages_of_many_users(counted: Counted, key: str) -> None:
    """200 users with 6,000 messages a minute together: ≤ 0.1 each, too."""
    time, redis, pod = counted
    sent = before = 0
    for tick in range(6000):
        user = tick * 73 % 200
        call = pod.check_rate_limit(f"{key}:{user}", 100, 60)
        assert 1 == await admitted(call)
        time.now += 0.01
        if tick % 25 == 0:
            pod.sweep()
            await asyncio.sleep(0)
        if tick == 1000:
            before = redis.scripts
        sent += tick > 1000
    assert (redis.scripts - before) / sent <= 0.1


async def test_what_is_not_used_is_given_back(
    make_limiter: MakeLimiter, make_redis: MakeRedis, key: str
) -> None:
    """A pod that nobody calls any more keeps nothing from the others."""
    time = FakeTime(make_redis())
    idle = make_limiter(time, clock=time)
    used = 0
    for _ in range(20):
        used += await admitted(idle.check_rate_limit(key, 100, 60))
    time.now += c.LIMITER_IDLE_SECONDS + 1
    idle.sweep()
    await idle.close()
    other = make_limiter(time, clock=time)
    calls = [other.check_rate_limit(key, 100, 60) for _ in range(200)]
    assert 100 == used + await admitted(*calls)


async def test_keys_are_forgotten(
    make_limiter: MakeLimiter, make_redis: MakeRedis, key: str
) -> None:
    """A pod keeps nothing of a key that nobody uses."""
    time = FakeTime(make_redis())
    pod = make_limiter(time, clock=time)
    calls = [pod.check_rate_limit(f"{key}:{i}", **LIMIT) for i in range(50)]
    await admitted(*calls)
    time.now += c.LIMITER_IDLE_SECONDS + 1
    for _ in range(3):
        pod.sweep()
        await pod.close()
    assert {} == pod._windows


class HeldRedis:
    """A Redis that answers when it is told to.

    Args:
        redis: Answers.
    """

    def __init__(self, redis: FakeTime) -> None:
        self._redis = redis
        self.answers = asyncio.Event()
        self.answers.set()

    async def run_script(self, *arguments: Any) -> Any:
        """Answer, as soon as that may be."""
        await self.answers.wait()
        return await self._redis.run_script(*arguments)


async def test_a_key_that_is_forgotten_while_redis_is_asked(
    make_redis: MakeRedis, key: str
) -> None:
    """Who comes back meanwhile is answered, by what is known of it then."""
    time = FakeTime(make_redis())
    redis = HeldRedis(time)
    pod = RateLimiter(Gate(redis), clock=time)
    assert await holding(pod, key) > 0
    time.now += c.LIMITER_IDLE_SECONDS + 1
    redis.answers.clear()
    pod.sweep()
    await asyncio.sleep(0)
    pod.sweep()
    assert {} == pod._windows
    call = asyncio.create_task(_check(pod, key))
    await asyncio.sleep(0)
    redis.answers.set()
    async with asyncio.timeout(5):
        assert (await call).is_allowed
    await pod.close()


async def holding(pod: RateLimiter, key: str) -> int:
    """Make a pod lease more than it uses, and return what it holds."""
    for _ in range(5):
        await _check(pod, key)
    return pod._windows[key]._tokens


async def _check(pod: RateLimiter, key: str) -> Verdict:
    return await pod.check_rate_limit(key, 100, WINDOW, 10)


async def taken(pod: RateLimiter, key: str) -> int:
    """Return how many of many calls at once are admitted."""
    return await admitted(*(_check(pod, key) for _ in range(200)))


async def test_a_lease_used_late(
    make_limiter: MakeLimiter, make_redis: MakeRedis, key: str
) -> None:
    """A token counts from its use, wherever in its lease's life that is."""
    time = FakeTime(make_redis())
    first, second = (make_limiter(time, clock=time) for _ in range(2))
    held = await holding(first, key)
    assert held > 1
    assert 110 - 5 - held == await taken(second, key)
    time.now += 0.9
    used = await admitted(*(_check(first, key) for _ in range(held)))
    time.now += WINDOW - 0.8
    early = await taken(second, key)
    assert (held, True) == (used, early + used <= 110)
    time.now += c.LIMITER_LEASE_SECONDS
    assert 110 == early + await taken(second, key)


async def test_a_lease_that_is_over(
    make_limiter: MakeLimiter, make_redis: MakeRedis, key: str
) -> None:
    """A token that Redis counts no more cannot be used."""
    time = FakeTime(make_redis())
    first, second = (make_limiter(time, clock=time) for _ in range(2))
    held = await holding(first, key)
    time.now += WINDOW + 2 * c.LIMITER_LEASE_SECONDS
    assert 110 == await taken(second, key)
    calls = [_check(first, key) for _ in range(held)]
    assert (held > 1, 0) == (True, await admitted(*calls))


async def test_an_answer_that_comes_late(
    make_limiter: MakeLimiter, make_redis: MakeRedis, key: str
) -> None:
    """What was granted too long ago is given back and asked for again."""
    time = FakeTime(make_redis())
    first, second = (make_limiter(time, clock=time) for _ in range(2))
    time.delay = 1.5
    assert 5 == await admitted(*(_check(first, key) for _ in range(5)))
    time.now += WINDOW - 0.3
    assert 105 == await taken(second, key)


STEP = st.tuples(
    st.integers(0, 2),  # which pod
    st.integers(1, 60),  # how many call at once
    st.sampled_from([0.0, 0.01, 0.2, 0.5, 0.9, 1.1, 3.0]),  # time before
    st.sampled_from([0.0, 0.0, 0.05, 0.3, 1.5]),  # time to an answer
    st.booleans(),  # whether every pod sweeps
)


@given(
    rate=st.sampled_from([100, 300]),  # the larger has leases ordered ahead
    steps=st.lists(STEP, min_size=5, max_size=40),
)
@settings(
    max_examples=60,
    suppress_health_check=list(HealthCheck),
)
def test_no_window_admits_more(
    servers: Servers, rate: int, steps: list[Any]
) -> None:
    """No stretch of the window's length ever sees more than the limit.

    Whatever pods do, however late answers come; and when all is quiet the
    whole window is there again.
    """
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        uses = runner.run(_simulate(servers, rate, steps))
    starts = sorted(uses.elements())
    for i, start in enumerate(starts):
        # Half-open: what is used a whole window later is no longer in it.
        assert bisect_left(starts, start + WINDOW) - i <= rate + 10


async def _simulate(
    servers: Servers, rate: int, steps: list[Any]
) -> Counter[float]:
    redis = RRedis(redis_settings(servers), DATABASE, hurried=True)
    await redis.client.flushdb()
    time = FakeTime(redis)
    pods = [RateLimiter(Gate(time), clock=time) for _ in range(3)]
    uses: Counter[float] = Counter()
    for number, calls, advance, delay, sweep in steps:
        time.now += advance
        time.delay = delay
        await asyncio.gather(
            *(_use(pods[number], rate, time, uses) for _ in range(calls))
        )
        if sweep:
            for pod in pods:
                pod.sweep()
                await asyncio.sleep(0)
    time.delay = 0.0
    for pod in pods:
        await pod.close()
    time.now += WINDOW + 2 * c.LIMITER_LEASE_SECONDS
    before = uses.total()
    calls = (_use(pods[0], rate, time, uses) for _ in range(2 * rate))
    await asyncio.gather(*calls)
    assert rate + 10 == uses.total() - before
    await redis.close()
    return uses


async def _use(
    pod: RateLimiter, rate: int, time: FakeTime, uses: Counter[float]
) -> None:
    verdict = await pod.check_rate_limit("simulated", rate, WINDOW, 10)
    if verdict.is_allowed:
        uses[time.now] += 1


async def test_those_who_come_meanwhile_share_a_lease(
    make_limiter: MakeLimiter, make_redis: MakeRedis, key: str
) -> None:
    """Side by side callers of a key cost no more scripts than one caller."""
    redis = CountingRedis(make_redis())
    pod = make_limiter(redis)

    async def call_often() -> None:
        for _ in range(100):
            await pod.check_rate_limit(key, 6000, 60)
            await asyncio.sleep(0)

    await asyncio.gather(*(call_often() for _ in range(5)))
    assert redis.scripts < 500 / 20 * 2
