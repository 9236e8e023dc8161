"""The operator's role map on the pods: signed, newest, in force at once."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from app.api.ws.constants import PkgID
from app.schemas.permissions import (
    ACKNOWLEDGED,
    MAP_KEY,
    REVISION_KEY,
    Acknowledgement,
    PermissionMap,
    load_file,
    seal,
)
from gatehouse_operator.publisher import Publisher
from tests.fixtures.proxy import Proxy
from tests.fixtures.pushes import next_pushes
from tests.fixtures.servers import Servers
from tests.fixtures.service import AsUser, MakeService, Service
from tests.fixtures.sockets import ask, open_socket

KEY = "k" * 32
BUILT_IN = load_file(Path("actions.json"))
IN_FORCE_SECONDS = 1.0
FROM_FILE_SECONDS = 5.0


def role_map(who: str) -> PermissionMap:
    """The built-in map, but for who may read authors."""
    document = BUILT_IN.model_dump(mode="json")
    document["ws"]["GET_AUTHORS"] = who
    document["http"]["/authors"]["GET"] = who
    return PermissionMap.parse(document)


def sealed(revision: int, who: str, key: str = KEY) -> bytes:
    """Such a map, signed."""
    return seal(revision, role_map(who), key.encode())


@pytest.fixture
async def redis(servers: Servers) -> AsyncIterator[Redis]:
    """The Redis of all services, without a role map before and after."""
    async with Redis.from_url(servers.redis_url) as redis:
        await forget(redis)
        yield redis
        await forget(redis)


async def forget(redis: Redis) -> None:
    """Remove what the operator and pods have put there."""
    said = [key async for key in redis.scan_iter(f"{ACKNOWLEDGED}*")]
    await redis.delete(MAP_KEY, REVISION_KEY, *said)


@pytest.fixture
def publisher(redis: Redis) -> Publisher:
    """The operator's way to Redis."""
    return Publisher(redis)


@pytest.fixture
def follow(
    make_service: MakeService,
    redis: Redis,  # noqa: ARG001  (without a map)
) -> Callable[..., AbstractContextManager[Service]]:
    """A function that runs a service that follows the operator."""

    def run(**settings: Any) -> AbstractContextManager[Service]:
        return make_service(
            **{"rbac_signing_key": KEY, "pod_name": "pod", **settings}
        )

    return run


def revision_of(service: Service) -> int:
    """The number of the map in force."""
    snapshot = service.container.rbac.snapshot
    return snapshot.revision if snapshot else 0


async def until_in_force(
    service: Service, revision: int, seconds: float = IN_FORCE_SECONDS
) -> None:
    """Wait for a map, no longer than it may take."""
    async with asyncio.timeout(seconds):
        while revision_of(service) != revision:  # noqa: ASYNC110  (bounded)
            await asyncio.sleep(0.005)


async def status(service: Service, headers: dict[str, str]) -> int:
    """What a request for authors is answered with."""
    async with httpx.AsyncClient(headers=headers) as client:
        return (await client.get(f"{service.url}/authors")).status_code


async def test_a_published_map_is_in_force_on_both_protocols(
    follow: Callable[..., AbstractContextManager[Service]],
    publisher: Publisher,
    sign_in: Callable[[str], str],
    as_user: AsUser,
) -> None:
    """An open socket is told and decided by it; the pod says so."""
    with follow() as service:
        async with open_socket(service, sign_in("reader")) as socket:
            before = await ask(socket, PkgID.GET_AUTHORS, {})
            assert 41 == await publisher.publish(41, sealed(41, "admin"))
            (told,) = await next_pushes(socket, 1, {PkgID.PERMISSIONS_CHANGED})
            after = await ask(socket, PkgID.GET_AUTHORS, {})
            said = await until_said(publisher, 41)
        assert 403 == await status(service, as_user("reader"))
    assert (0, 3) == (before["status_code"], after["status_code"])
    assert {"digest": role_map("admin").digest} == told["data"]
    assert said.pod.startswith("pod-")
    assert 1 == said.swept


async def test_a_process_that_ends_takes_back_what_it_said(
    follow: Callable[..., AbstractContextManager[Service]],
    publisher: Publisher,
) -> None:
    """So that the next edit waits for nobody who is gone."""
    with follow():
        await publisher.publish(3, sealed(3, "admin"))
        await until_said(publisher, 3)
    assert [] == await publisher.acknowledged()


async def until_said(publisher: Publisher, revision: int) -> Acknowledgement:
    """Wait until the only pod says that a map is in force."""
    async with asyncio.timeout(IN_FORCE_SECONDS):
        while True:
            for said in await publisher.acknowledged():
                if said.revision == revision:
                    return said
            await asyncio.sleep(0.01)


async def test_a_message_that_nobody_hears_delays_a_map_below_a_second(
    follow: Callable[..., AbstractContextManager[Service]], redis: Redis
) -> None:
    """Its number is asked for, too."""
    with follow() as service:
        await redis.mset({MAP_KEY: sealed(5, "admin"), REVISION_KEY: 5})
        await until_in_force(service, 5)


async def test_an_older_map_and_a_forged_one_change_nothing(
    follow: Callable[..., AbstractContextManager[Service]],
    publisher: Publisher,
    redis: Redis,
) -> None:
    """Neither who can write to Redis nor who is late decides anything."""
    with follow() as service:
        await publisher.publish(7, sealed(7, "editor"))
        await until_in_force(service, 7)
        assert 7 == await publisher.publish(6, sealed(6, "reader"))
        forged = sealed(9, "reader", key="another")
        await redis.mset({MAP_KEY: forged, REVISION_KEY: 9})
        await asyncio.wait([asyncio.create_task(asyncio.sleep(0.7))])
        assert 7 == revision_of(service)
        await publisher.publish(10, sealed(10, "reader"))
        await until_in_force(service, 10)


async def test_a_map_is_mounted_for_when_redis_is_away(
    follow: Callable[..., AbstractContextManager[Service]],
    servers: Servers,
    tmp_path: Path,
) -> None:
    """A pod takes it from the file, at its start and later."""
    mounted = tmp_path / "rbac.json"
    mounted.write_bytes(sealed(3, "admin"))
    wire = Proxy(servers.redis_url)
    wire.start()
    wire.stop()  # the port is its own, and nobody listens
    with follow(
        rbac_compiled_path=mounted, redis_url=wire.via(servers.redis_url)
    ) as service:
        await until_in_force(service, 3, FROM_FILE_SECONDS)
        mounted.write_bytes(sealed(4, "reader"))
        await until_in_force(service, 4, FROM_FILE_SECONDS)
        mounted.write_text(json.dumps({"revision": 5}))
        mounted.write_bytes(sealed(6, "editor"))
        await until_in_force(service, 6, FROM_FILE_SECONDS)


async def test_a_map_that_is_lost_is_published_again(
    redis: Redis, publisher: Publisher
) -> None:
    """The same number is taken when its map is there no more."""
    await publisher.publish(7, sealed(7, "editor"))
    await redis.delete(MAP_KEY)
    assert 7 == await publisher.publish(7, sealed(7, "editor"))
    assert sealed(7, "editor") == await redis.get(MAP_KEY)
