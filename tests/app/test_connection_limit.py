"""Sockets of a user, over all pods, alive or killed."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, suppress

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from app import constants as c
from app.api.ws.constants import CloseCode, PkgID, RSPCode
from app.exceptions import Unavailable
from app.utils.rate_limiter import ConnectionLimiter, Gate
from tests.fixtures.limits import (
    DATABASE,
    FakeTime,
    MakeRedis,
    forget_counts,
)
from tests.fixtures.service import MakeService, Service
from tests.fixtures.sockets import open_socket, request

SignIn = Callable[[str], str]
MakePod = Callable[..., ConnectionLimiter]


@pytest.fixture(scope="module")
def pods(make_service: MakeService) -> Iterator[list[Service]]:
    """Three services with the limits of the contract."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(
                make_service(rate_limit_enabled=True, main_redis_db=DATABASE)
            )
            for _ in range(3)
        ]


@pytest.fixture(autouse=True)
async def _nothing_counted(make_redis: MakeRedis) -> None:
    await forget_counts(make_redis())


@pytest.fixture
def make_pod(make_redis: MakeRedis) -> MakePod:
    """A function that makes limiters, each as one pod has it."""
    return lambda redis=None: ConnectionLimiter(
        Gate(redis or make_redis(), 5), 5
    )


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    """What a test has opened."""
    async with AsyncExitStack() as stack:
        yield stack


async def added(pod: ConnectionLimiter, *names: str) -> int:
    """Return how many of these sockets of one user may be."""
    results = await asyncio.gather(
        *(pod.add_connection("user", name) for name in names)
    )
    return sum(results)


@pytest.mark.parametrize("run", range(5))
async def test_many_at_once(
    pods: list[Service], sign_in: SignIn, stack: AsyncExitStack, run: int
) -> None:
    """Of 50 sockets that open at once on three pods, exactly 5 stay."""
    sockets = await asyncio.gather(
        *(
            stack.enter_async_context(
                open_socket(pods[i % 3], sign_in("reader"))
            )
            for i in range(50)
        )
    )
    ends = await asyncio.gather(*map(_end, sockets))
    assert (run, {RSPCode.OK: 5, CloseCode.POLICY_VIOLATION: 45}) == (
        run,
        dict(Counter(ends)),
    )


async def _end(socket: ClientConnection) -> int | None:
    """Return the status of a reply, or the close code; leave out pushes."""
    with suppress(ConnectionClosed):
        await socket.send(json.dumps(request(PkgID.ME)))
        while True:
            reply = json.loads(await socket.recv())
            if reply["pkg_id"] == PkgID.ME:
                return int(reply["status_code"])
    await socket.wait_closed()
    return socket.close_code


async def test_a_closed_socket_makes_room(
    pods: list[Service], sign_in: SignIn, stack: AsyncExitStack
) -> None:
    """A socket that closes is counted no more, nor is one refused."""
    for i in range(5):
        pod = open_socket(pods[i % 3], sign_in("reader"))
        last = await stack.enter_async_context(pod)
        assert RSPCode.OK == await _end(last)
    async with open_socket(pods[0], sign_in("reader")) as refused:
        assert CloseCode.POLICY_VIOLATION == await _end(refused)
    await last.close()
    await _until_open(pods[0], sign_in("reader"))


async def _until_open(pod: Service, token: str) -> None:
    """Open a socket as soon as there is room; a close takes a moment."""
    for _ in range(50):
        async with open_socket(pod, token) as socket:
            if RSPCode.OK == await _end(socket):
                return
    raise AssertionError


async def test_by_first_message(
    pods: list[Service], sign_in: SignIn, stack: AsyncExitStack
) -> None:
    """Who signs in with a message is counted from there."""
    for _ in range(5):
        pod = open_socket(pods[0], sign_in("reader"))
        socket = await stack.enter_async_context(pod)
        assert RSPCode.OK == await _end(socket)
    async with connect(pods[1].ws_url, proxy=None) as late:
        token = {"token": sign_in("reader")}
        await late.send(json.dumps(request(PkgID.AUTHENTICATE, token)))
        async with asyncio.timeout(20):
            await late.wait_closed()
        assert CloseCode.POLICY_VIOLATION == late.close_code


async def test_users_apart(make_pod: MakePod) -> None:
    """One user's sockets are nobody else's."""
    pod = make_pod()
    assert 5 == await added(pod, *"abcdefgh")
    assert await pod.add_connection("other", "i")


async def test_a_killed_pod(make_pod: MakePod, make_redis: MakeRedis) -> None:
    """Sockets of a pod that is gone are free within 60 s, not before 30."""
    time = FakeTime(make_redis())
    killed, other = make_pod(time), make_pod(time)
    assert 5 == await added(killed, *"abcde")
    await killed.beat()
    time.now += 30
    assert 0 == await added(other, "f")
    time.now += 30
    assert 5 == await added(other, *"ghijklm")


async def test_a_heartbeat_keeps_them(
    make_pod: MakePod, make_redis: MakeRedis
) -> None:
    """Sockets of a living pod count for as long as they are open."""
    time = FakeTime(make_redis())
    alive, other = make_pod(time), make_pod(time)
    await added(alive, *"abcde")
    for _ in range(10):
        time.now += c.WS_HEARTBEAT_SECONDS
        await alive.beat()
    assert 0 == await added(other, "f")
    await alive.remove_connection("user", "a")
    assert 1 == await added(other, "g", "h")


async def test_redis_forgets_everything(
    make_pod: MakePod, make_redis: MakeRedis
) -> None:
    """After FLUSHDB the next heartbeat has the counts there again."""
    alive, other = make_pod(), make_pod()
    await added(alive, *"abcd")
    await make_redis().client.flushdb()
    await alive.beat()
    assert 1 == await added(other, *"efgh")


async def test_cancelled_while_counted(make_pod: MakePod) -> None:
    """A client who leaves while his socket is counted leaves no trace."""
    pod = make_pod()
    call = asyncio.ensure_future(pod.add_connection("user", "gone"))
    await asyncio.sleep(0)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    await pod.beat()
    assert 5 == await added(pod, *"abcdef")


async def test_switched_off(
    service: Service, sign_in: SignIn, stack: AsyncExitStack
) -> None:
    """Without limits a user may have more sockets than five."""
    sockets = [
        await stack.enter_async_context(
            open_socket(service, sign_in("reader"))
        )
        for _ in range(10)
    ]
    ends = await asyncio.gather(*map(_end, sockets))
    assert [RSPCode.OK] * 10 == ends


class Away:
    """A Redis that is not there."""

    async def run_script(self, *_: object) -> None:
        """Fail.

        Raises:
            Unavailable: Always.
        """
        raise Unavailable("Redis is away")


async def test_many_that_go_cost_no_more_each(make_pod: MakePod) -> None:
    """Without Redis nobody who goes looks through all who went before."""

    async def cost_of(count: int) -> float:
        pod = make_pod(Away())
        names = [str(number) for number in range(count)]
        for name in names:
            await pod.add_connection(name, name)
        start = time.process_time()
        for name in names:
            await pod.remove_connection(name, name)
        return (time.process_time() - start) / count

    assert await cost_of(4000) < 3 * await cost_of(400)
