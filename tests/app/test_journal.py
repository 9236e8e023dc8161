"""Whatever breaks, nothing that was acknowledged is lost or done twice.

`make soak SECONDS=600 SEED=7` runs the same for as long as one likes.
"""

import asyncio
import os
import secrets
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack

import pytest
from redis.asyncio import Redis
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from app.api.ws.constants import CloseCode, PkgID
from app.constants import (
    WS_HEARTBEAT_SECONDS,
    WS_LEASE_SECONDS,
    WS_MAX_CONNECTIONS_PER_USER,
)
from tests.fixtures.processes import SERVE, ServiceProcess, started
from tests.fixtures.servers import Servers
from tests.fixtures.sockets import ask
from tests.soak.local import local
from tests.soak.reckon import reckon
from tests.soak.run import Crowd, run, summary
from tests.soak.schedule import make_schedule

SignIn = Callable[[str], str]
REDIS_DB = 6
"""One that no other test uses, so that it can be flushed."""
MOMENT = 0.25
SOCKETS = int(os.environ.get("SOAK_SOCKETS") or 200)
SECONDS = float(os.environ.get("SOAK_SECONDS") or 20)
SEED = int(os.environ.get("SOAK_SEED") or secrets.randbelow(10**6))


@pytest.fixture(scope="module")
async def freed(
    migrated: Servers, sign_in: SignIn
) -> AsyncIterator["asyncio.Task[float]"]:
    """How long the sockets of a process that was killed go on to count.

    That is found out while the tests of this module run.
    """
    environment = {**migrated.environment, "MAIN_REDIS_DB": str(REDIS_DB)}
    token = sign_in("reader")
    async with (
        Redis.from_url(migrated.redis_url, db=REDIS_DB) as redis,
        started(SERVE, environment) as killed,
        started(SERVE, environment) as other,
    ):
        await redis.flushdb()
        await asyncio.gather(killed.until_ready(200), other.until_ready(200))
        async with AsyncExitStack() as stack:
            for _ in range(WS_MAX_CONNECTIONS_PER_USER):
                assert await _is_admitted(killed, token, stack)
            assert not await _is_admitted(other, token, stack)
            killed.signal(signal.SIGKILL)
            await killed.ended()
        task = asyncio.create_task(_until_admitted(other, token))
        yield task
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _until_admitted(service: ServiceProcess, token: str) -> float:
    """Return after how many seconds a user may open a socket again."""
    began = time.monotonic()
    while True:
        async with AsyncExitStack() as stack:
            if await _is_admitted(service, token, stack):
                return time.monotonic() - began
        await asyncio.sleep(1)


async def _is_admitted(
    service: ServiceProcess, token: str, stack: AsyncExitStack
) -> bool:
    """Open a socket, and say whether it is served or has been one too many."""
    connection = connect(
        service.ws_url,
        additional_headers={"Authorization": f"Bearer {token}"},
        proxy=None,
    )
    socket = await stack.enter_async_context(connection)
    try:
        await ask(socket, PkgID.ME)
    except ConnectionClosed:
        assert CloseCode.POLICY_VIOLATION == socket.close_code
        return False
    return True


@pytest.mark.usefixtures("freed")
@pytest.mark.timeout(SECONDS + 280)
async def test_nothing_is_lost_or_doubled(
    servers: Servers, sign_in: SignIn
) -> None:
    """Pods end and die, Redis and PostgreSQL come and go, at random."""
    schedule = make_schedule(SEED, SECONDS)
    print(f"make soak SECONDS={SECONDS:.0f} SEED={SEED}")  # noqa: T201
    print(*schedule, sep="\n")  # noqa: T201
    async with local(servers, lambda: sign_in("editor")) as here:
        faults = here.chaos.run(schedule, SECONDS)
        await run(here.stage, SEED, Crowd(), faults)
        statuses = await here.end()
        findings = reckon(here.stage.journal, await here.tables())
    errors = [e for pod in here.pods for e in pod.exceptions]
    print(summary(here.stage.journal))  # noqa: T201
    print(*findings, *errors, sep="\n")  # noqa: T201
    assert ([], [], [0, 0, 0]) == (findings, errors, statuses)


@pytest.mark.timeout(300)
async def test_rolling_restart(servers: Servers, sign_in: SignIn) -> None:
    """Every socket is told to come again, and they do not come together."""
    crowd = Crowd(
        http_writers=3,
        socket_writers=3,
        receivers=SOCKETS,
        pause_seconds=SOCKETS / 150,
        life_seconds=None,
    )
    statuses: list[int] = []
    async with local(
        servers, lambda: sign_in("editor"), DRAIN_SECONDS="2"
    ) as here:

        async def roll() -> None:
            ends = []
            for pod in here.pods:
                await pod.start()
                ends.append(asyncio.create_task(pod.end()))
            statuses.extend(await asyncio.gather(*ends))

        clients = await run(here.stage, SEED, crowd, roll())
        await here.end()
        findings = reckon(here.stage.journal, await here.tables())
    print(summary(here.stage.journal))  # noqa: T201
    print(*findings, sep="\n")  # noqa: T201
    receivers = [client.receiver for client in clients]
    codes = {code for one in receivers for code in one.closed}
    failures = [why for one in receivers for why in one.not_opened]
    assert ([], [0, 0, 0], {CloseCode.GOING_AWAY}, []) == (
        findings,
        statuses,
        codes,
        failures,
    )
    assert_spread([time for client in clients for time in client.came[1:]])


def assert_spread(came: Sequence[float]) -> None:
    """However many come again, a small part of them does in any moment."""
    assert len(came) >= SOCKETS
    most = max(Counter(int(time / MOMENT) for time in came).values())
    assert most < len(came) / 5


async def test_sockets_of_a_killed_process_are_free_within_a_minute(
    freed: "asyncio.Task[float]",
) -> None:
    """By the leases that Redis has of them: there is nobody else to tell."""
    seconds = await freed
    assert WS_LEASE_SECONDS - WS_HEARTBEAT_SECONDS - 2 < seconds <= 60
