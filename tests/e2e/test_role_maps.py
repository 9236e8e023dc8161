"""Role maps that are edited with kubectl, on a real API server."""

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import quantiles

import httpx
import pytest
from redis.asyncio import Redis
from websockets.asyncio.client import ClientConnection, connect

from app.api.ws.constants import PkgID
from app.schemas.permissions import (
    REVISION_KEY,
    from_lines,
    load_file,
    to_lines,
    unseal,
)
from tests.e2e.conftest import KEY, Kubectl, Say, StartOperator, until
from tests.fixtures.processes import SERVE, ServiceProcess, StartService
from tests.fixtures.proxy import Proxy
from tests.fixtures.servers import Servers
from tests.fixtures.sign_in import token_of

BUILT_IN = to_lines(load_file(Path("actions.json")))
MAP = "gatehouse-roles"
START_SECONDS = 20
IN_FORCE_SECONDS = 1.0
EDITS = 40
KILLS = 10


def patch(kubectl: Kubectl, **texts: str | None) -> None:
    """Change the texts of some roles, None removes one."""
    data = json.dumps({"data": texts})
    kubectl("patch", "configmap", MAP, "--type=merge", f"--patch={data}")


def in_force(kubectl: Kubectl) -> tuple[int, str]:
    """The number and the digest of the map that is recorded."""
    found = kubectl.json("get", "configmap", "gatehouse-rbac-compiled")
    sealed = unseal(found["data"]["rbac.json"].encode(), KEY.encode(), "map")
    return sealed.revision, sealed.digest


def events(kubectl: Kubectl) -> list[tuple[str, str]]:
    """The reason and the message of each Event about the map."""
    found = kubectl.json(
        "get", "events", f"--field-selector=involvedObject.name={MAP}"
    )
    return [(e["reason"], e["message"]) for e in found["items"]]


async def published(redis: Redis) -> int:
    """The number of the map that pods are told of."""
    return int(await redis.get(REVISION_KEY) or 0)


async def until_seeded(redis: Redis, revision: int = 1) -> None:
    """Wait until a map is published."""

    async def is_published() -> bool:
        return await published(redis) >= revision

    await until(is_published, START_SECONDS)


async def until_told(kubectl: Kubectl, reason: str, part: str) -> None:
    """Wait for an Event."""

    async def is_told() -> bool:
        told = await asyncio.to_thread(events, kubectl)
        return any(r == reason and part in message for r, message in told)

    await until(is_told, START_SECONDS)


@pytest.fixture
async def token(servers: Servers) -> str:
    """A reader's."""
    return await token_of(servers, "reader")


@pytest.fixture
async def pods(
    start_service: StartService,
) -> AsyncIterator[list[ServiceProcess]]:
    """Three processes of the service that follow the operator."""
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(
                start_service(
                    SERVE, RBAC_SIGNING_KEY=KEY, POD_NAME=f"pod{number}"
                )
            )
            for number in range(3)
        ]


async def opened(
    stack: AsyncExitStack, pods: list[ServiceProcess], token: str, each: int
) -> list[ClientConnection]:
    """Open so many sockets on each pod."""
    sockets = []
    for pod in pods * each:
        socket = connect(
            pod.url.replace("http", "ws", 1) + "/web",
            additional_headers={"Authorization": f"Bearer {token}"},
            proxy=None,
            max_queue=None,
        )
        sockets.append(await stack.enter_async_context(socket))
    return sockets


async def told_digest(socket: ClientConnection, digest: str) -> None:
    """Wait until a socket is told of this map."""
    while True:
        message = json.loads(await socket.recv())
        if (
            message["pkg_id"] == PkgID.PERMISSIONS_CHANGED
            and message["data"]["digest"] == digest
        ):
            return


async def test_an_edit_is_in_force_on_every_pod_and_open_socket(
    kubectl: Kubectl,
    redis: Redis,
    start_operator: StartOperator,
    pods: list[ServiceProcess],
    token: str,
    say: Say,
) -> None:
    """The editable map is made once; then kubectl decides within a second."""
    await start_operator()
    await until_seeded(redis)
    spent = []
    without = BUILT_IN["reader"].replace("http GET /authors\n", "")
    headers = {"Authorization": f"Bearer {token}"}
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(
            httpx.AsyncClient(headers=headers)
        )
        sockets = await opened(stack, pods, token, each=50)
        for number in range(EDITS):
            reader = without if number % 2 == 0 else BUILT_IN["reader"]
            digest = from_lines({**BUILT_IN, "reader": reader}).digest
            await asyncio.to_thread(patch, kubectl, reader=reader)
            began = time.monotonic()
            async with asyncio.timeout(IN_FORCE_SECONDS):
                await asyncio.gather(
                    *(told_digest(socket, digest) for socket in sockets)
                )
            spent.append((time.monotonic() - began) * 1000)
            answers = [await client.get(f"{pod.url}/authors") for pod in pods]
            expected = 403 if number % 2 == 0 else 200
            assert [expected] * 3 == [a.status_code for a in answers]
        revision, _ = in_force(kubectl)
        assert EDITS + 1 == revision
        await until_told(kubectl, "Converged", "3/3 pods in ")
    parts = quantiles(spent, n=100)
    say(
        f"kubectl to {len(sockets)} sockets of 3 pods, {EDITS} edits:"
        f" p50 {parts[49]:.0f} ms, p95 {parts[94]:.0f} ms,"
        f" p99 {parts[98]:.0f} ms"
    )
    await asyncio.to_thread(
        kubectl,
        *("wait", "--for=condition=Converged", "rbacstate/gatehouse"),
        f"--for=jsonpath={{.status.revision}}={EDITS + 1}",
    )
    row = kubectl("get", "rbac", "gatehouse", "--no-headers").split()
    assert ["gatehouse", str(EDITS + 1), digest[:12], "3/3", "True"] == row[:5]
    story = kubectl("describe", "configmap", MAP)
    assert "Accepted" in story
    assert "\N{MINUS SIGN}1 permissions in 1 role" in story


async def test_a_bad_edit_changes_nothing_and_says_where(
    kubectl: Kubectl, redis: Redis, start_operator: StartOperator
) -> None:
    """Nor does one that locks out; the reasons are in Events."""
    await start_operator()
    await until_seeded(redis)
    before = await asyncio.to_thread(in_force, kubectl)
    patch(kubectl, reader="ws GET_AUTHORS\nwss GET_BOOKS\n")
    await until_told(kubectl, "Rejected", "reader:2: 'wss' is none of ws")
    said = kubectl.json("get", "rbacstate/gatehouse")["status"]["conditions"]
    assert ("False", f"see the Events of: {MAP}") == (
        said[0]["status"],
        said[0]["message"],
    )
    patch(kubectl, reader=BUILT_IN["reader"], admin=None)
    await until_told(kubectl, "Rejected", "annotate it with gatehouse.dev/")
    assert before == await asyncio.to_thread(in_force, kubectl)
    patch(kubectl, admin=BUILT_IN["admin"])
    kubectl("delete", "configmap", MAP)
    await asyncio.sleep(1)  # a third of the grace
    assert before == await asyncio.to_thread(in_force, kubectl)


async def test_an_edit_while_redis_is_away_is_published_when_it_is_back(
    kubectl: Kubectl,
    redis: Redis,
    start_operator: StartOperator,
    servers: Servers,
) -> None:
    """It is recorded and told of at once, for pods that have it mounted."""
    wire = Proxy(servers.redis_url)
    wire.start()
    try:
        await start_operator(REDIS_URL=wire.via(servers.redis_url))
        await until_seeded(redis)
        await asyncio.to_thread(wire.stop)
        patch(kubectl, reader=BUILT_IN["reader"] + "http GET /made-up\n")
        await until_told(kubectl, "Accepted", "revision 2, digest ")
        assert 2 == (await asyncio.to_thread(in_force, kubectl))[0]
        assert 1 == await published(redis)
        await asyncio.to_thread(wire.start)
        await until_seeded(redis, revision=2)
    finally:
        await asyncio.to_thread(wire.stop)


async def test_operators_that_are_killed_lose_and_reorder_nothing(
    kubectl: Kubectl, redis: Redis, start_operator: StartOperator, say: Say
) -> None:
    """Two replicas, one of which dies again and again during edits."""
    seed = random.randrange(10**6)
    say(f"seed {seed}")
    chance = random.Random(seed)
    operators = [await start_operator(), await start_operator()]
    await until_seeded(redis)
    numbers = [1]
    text = BUILT_IN["reader"]
    for number in range(KILLS * 2):
        text = BUILT_IN["reader"] + f"http GET /made-up/{number}\n"
        await asyncio.to_thread(patch, kubectl, reader=text)
        await asyncio.sleep(chance.random() / 2)
        if number % 2:
            victim = chance.randrange(2)
            operators[victim].kill()
            await operators[victim].wait()
            operators[victim] = await start_operator()
        numbers.append(await published(redis))
    digest = from_lines({**BUILT_IN, "reader": text}).digest

    async def is_right() -> bool:
        revision, found = await asyncio.to_thread(in_force, kubectl)
        return found == digest and revision == await published(redis)

    await until(is_right, START_SECONDS)
    assert sorted(numbers) == numbers
