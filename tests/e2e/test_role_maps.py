"""Role maps that are edited with kubectl, on a real API server."""

import asyncio
import json
import os
import random
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles
from typing import Final
from urllib.parse import urlsplit

import httpx
import pytest
from redis.asyncio import Redis

from app.api.ws.constants import PkgID
from app.bench.load import Load
from app.bench.wire import socket_script
from app.schemas.permissions import (
    CHANGED,
    REVISION_KEY,
    from_lines,
    load_file,
    to_lines,
    unseal,
)
from tests.e2e.conftest import (
    KEY,
    RELEASE,
    Kubectl,
    Say,
    StartOperator,
    until,
)
from tests.fixtures.processes import SERVE, ServiceProcess, StartService
from tests.fixtures.proxy import Proxy
from tests.fixtures.servers import Servers
from tests.fixtures.sign_in import token_of

BUILT_IN = to_lines(load_file(Path("actions.json")))
MAP = "gatehouse-roles"
START_SECONDS = 20
IN_FORCE_SECONDS = 1.0
EDITS: Final = int(os.environ.get("SOAK_EDITS", "200"))
SOCKETS: Final = int(os.environ.get("SOAK_SOCKETS", "3000"))
PAUSE: Final = "registry.k8s.io/pause:3.10"
KUBELETS: Final = (
    Path("/var/lib/kubelet"),
    Path("/var/lib/testcluster/kubelet"),
)
"""Where a kubelet of this machine may keep its pods."""
MOUNTED_SECONDS: Final = 90.0
"""A kubelet looks at a pod's volumes every 60 to 90 seconds."""
LOST_EDITS: Final = 40
P99_MILLISECONDS: Final = 250
KILLS: Final = int(os.environ.get("SOAK_KILLS", "10"))


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
def wire(servers: Servers) -> Iterator[Proxy]:
    """The pods' way to Redis."""
    wire = Proxy(servers.redis_url)
    wire.start()
    yield wire
    wire.stop()


@pytest.fixture
async def pods(
    start_service: StartService, servers: Servers, wire: Proxy
) -> AsyncIterator[list[ServiceProcess]]:
    """Three processes of the service that follow the operator."""
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(
                start_service(
                    SERVE,
                    RBAC_SIGNING_KEY=KEY,
                    POD_NAME=f"pod{number}",
                    REDIS_URL=wire.via(servers.redis_url),
                )
            )
            for number in range(3)
        ]


class Ears(Load):
    """Sockets that wait to be told of a map."""

    def __init__(self) -> None:
        super().__init__()
        self._digest = b""
        self._heard = 0
        self._everybody = asyncio.Event()

    async def open_all(
        self, pods: list[ServiceProcess], token: str, each: int
    ) -> None:
        """Open so many sockets on each pod."""
        script = socket_script(token, [(PkgID.ME, {})])
        for pod in pods:
            port = urlsplit(pod.url).port
            assert port is not None
            await self.open(port, [script] * each)

    def await_digest(self, digest: str) -> None:
        """Begin to wait for this map."""
        self._digest = digest.encode()
        self._heard = 0
        self._everybody.clear()

    def pushed(self, frame: bytes) -> None:
        """Count who is told of it."""
        if self._digest and self._digest in frame:
            self._heard += 1
            if self._heard == len(self.connections):
                self._everybody.set()

    async def everybody(self) -> None:
        """Wait until all are told."""
        await self._everybody.wait()


@dataclass
class Fleet:
    """Pods that follow an operator which keeps a map.

    `wire` is their way to Redis; `token` is a reader's.
    """

    kubectl: Kubectl
    pods: list[ServiceProcess]
    wire: Proxy
    token: str


@pytest.fixture
async def fleet(
    kubectl: Kubectl,
    redis: Redis,
    start_operator: StartOperator,
    pods: list[ServiceProcess],
    wire: Proxy,
    servers: Servers,
) -> Fleet:
    """Three processes of the service, and one of the operator."""
    await start_operator()
    await until_seeded(redis)
    return Fleet(kubectl, pods, wire, await token_of(servers, "reader"))


@pytest.mark.timeout(600)
async def test_an_edit_is_in_force_on_every_pod_and_open_socket(
    fleet: Fleet, say: Say
) -> None:
    """The editable map is made once; then kubectl decides at once."""
    spent = await edit_again_and_again(fleet, EDITS, SOCKETS)
    parts = tell(say, f"kubectl to {SOCKETS} sockets of 3 pods", spent)
    assert parts[98] < P99_MILLISECONDS
    kubectl = fleet.kubectl
    await until_told(kubectl, "Converged", "3/3 pods in ")
    await asyncio.to_thread(
        kubectl,
        *("wait", "--for=condition=Converged", "rbacstate/gatehouse"),
        f"--for=jsonpath={{.status.revision}}={EDITS + 1}",
    )
    digest = from_lines(BUILT_IN).digest[:12]
    row = kubectl("get", "rbac", "gatehouse", "--no-headers").split()
    assert ["gatehouse", str(EDITS + 1), digest, "3/3", "True"] == row[:5]
    story = kubectl("describe", "configmap", MAP)
    assert "Accepted" in story
    assert "\N{MINUS SIGN}1 permissions in 1 role" in story


async def test_an_edit_is_in_force_when_no_message_of_it_arrives(
    fleet: Fleet, say: Say
) -> None:
    """Pods ask for its number twice a second."""
    name = CHANGED.encode()
    fleet.wire.lose(b"message\r\n$%d\r\n%b" % (len(name), name))
    spent = await edit_again_and_again(fleet, LOST_EDITS, 150)
    tell(say, "with every message lost", spent)


def tell(say: Say, what: str, spent: list[float]) -> list[float]:
    """Say how long edits have taken, and return the hundredths."""
    parts = quantiles(spent, n=100)
    say(
        f"{what}, {len(spent)} edits: p50 {parts[49]:.0f} ms,"
        f" p95 {parts[94]:.0f} ms, p99 {parts[98]:.0f} ms,"
        f" most {max(spent):.0f} ms"
    )
    return parts


async def edit_again_and_again(
    fleet: Fleet, edits: int, sockets: int
) -> list[float]:
    """Take a permission and give it back, on HTTP and on open sockets.

    Returns:
        How long each edit took, after kubectl has returned, in milliseconds.
    """
    spent = []
    without = BUILT_IN["reader"].replace("http GET /authors\n", "")
    headers = {"Authorization": f"Bearer {fleet.token}"}
    ears = Ears()
    async with httpx.AsyncClient(headers=headers) as client:
        await ears.open_all(fleet.pods, fleet.token, sockets // 3)
        for number in range(edits):
            reader = without if number % 2 == 0 else BUILT_IN["reader"]
            digest = from_lines({**BUILT_IN, "reader": reader}).digest
            ears.await_digest(digest)
            await asyncio.to_thread(patch, fleet.kubectl, reader=reader)
            began = time.monotonic()
            async with asyncio.timeout(IN_FORCE_SECONDS):
                await ears.everybody()
            spent.append((time.monotonic() - began) * 1000)
            answers = [
                await client.get(f"{pod.url}/authors") for pod in fleet.pods
            ]
            expected = 403 if number % 2 == 0 else 200
            assert [expected] * 3 == [a.status_code for a in answers]
        ears.close()
    revision, _ = in_force(fleet.kubectl)
    assert edits + 1 == revision
    return spent


@pytest.mark.timeout(300)
async def test_an_edit_is_in_force_when_redis_is_away(
    kubectl: Kubectl,
    redis: Redis,
    start_operator: StartOperator,
    start_service: StartService,
    servers: Servers,
    say: Say,
) -> None:
    """From the ConfigMap, which the kubelet writes where it is mounted."""
    await start_operator()
    await until_seeded(redis)
    folder = await asyncio.to_thread(mounted, kubectl)
    wire = Proxy(servers.redis_url)
    await asyncio.to_thread(wire.start)
    token = await token_of(servers, "reader")
    settings = {
        "RBAC_SIGNING_KEY": KEY,
        "RBAC_COMPILED_PATH": str(folder / "rbac.json"),
        "REDIS_URL": wire.via(servers.redis_url),
    }
    async with (
        start_service(SERVE, **settings) as pod,
        httpx.AsyncClient(headers={"Authorization": f"Bearer {token}"}) as c,
    ):
        assert 200 == (await c.get(f"{pod.url}/authors")).status_code
        await asyncio.to_thread(wire.stop)
        without = BUILT_IN["reader"].replace("http GET /authors\n", "")
        patch(kubectl, reader=without)

        async def is_denied() -> bool:
            await asyncio.sleep(0.5)  # a line of its log for each
            return 403 == (await c.get(f"{pod.url}/authors")).status_code

        began = time.monotonic()
        await until(is_denied, MOUNTED_SECONDS)
    say(f"with Redis away: {time.monotonic() - began:.0f} s")


def mounted(kubectl: Kubectl) -> Path:
    """Mount the compiled map in a pod of this machine, and say where it is."""
    name = f"{RELEASE}-rbac-compiled"
    kubectl.apply(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "mount"},
            "spec": {
                "containers": [
                    {
                        "name": "pause",
                        "image": PAUSE,
                        "volumeMounts": [{"name": "map", "mountPath": "/map"}],
                    }
                ],
                "volumes": [{"name": "map", "configMap": {"name": name}}],
            },
        }
    )
    kubectl("wait", "pod/mount", "--for=condition=Ready", "--timeout=60s")
    uid: str = kubectl.json("get", "pod", "mount")["metadata"]["uid"]
    volume = Path("pods", uid, "volumes/kubernetes.io~configmap/map")
    paths = [root / volume for root in KUBELETS if (root / volume).is_dir()]
    if not paths:
        pytest.skip("the kubelet's folder is on another machine")
    return paths[0]


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
    patch(kubectl, reader="ws ME\ninclude editor", editor="include reader")
    await until_told(kubectl, "Rejected", "includes go in a circle: editor ->")
    patch(kubectl, reader=BUILT_IN["reader"], editor=BUILT_IN["editor"])
    patch(kubectl, admin=None)
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


class Served:
    """A process of the service, and what it answers a reader."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self.statuses: list[int] = []

    async def ask(self) -> None:
        """Ask it for something that a reader always may."""
        answer = await self._client.get("/authors")
        self.statuses.append(answer.status_code)


@pytest.fixture
async def served(
    start_service: StartService, servers: Servers, redis: Redis
) -> AsyncIterator[Served]:
    """A process of the service that follows the operators."""
    await redis.ping()  # it is empty before the process starts
    token = await token_of(servers, "reader")
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        start_service(SERVE, RBAC_SIGNING_KEY=KEY) as pod,
        httpx.AsyncClient(base_url=pod.url, headers=headers) as client,
    ):
        yield Served(client)


@pytest.mark.timeout(900)
async def test_operators_that_are_killed_lose_and_reorder_nothing(
    kubectl: Kubectl,
    redis: Redis,
    start_operator: StartOperator,
    served: Served,
    say: Say,
) -> None:
    """Two replicas, one of which dies again and again during edits."""
    seed = random.randrange(10**6)
    say(f"seed {seed}, {KILLS} kills")
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
        await served.ask()
    digest = from_lines({**BUILT_IN, "reader": text}).digest

    async def is_right() -> bool:
        revision, found = await asyncio.to_thread(in_force, kubectl)
        return found == digest and revision == await published(redis)

    await until(is_right, START_SECONDS)
    assert sorted(numbers) == numbers
    assert {200} == set(served.statuses)
