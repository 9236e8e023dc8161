"""Ended sessions, in a database of their own."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from app.storage.redis import RRedis
from app.storage.session_stream import LOGOUT_TOKEN, STREAM
from app.tasks.kc_user_session import LEASE, READ_UNTIL
from tests.fixtures.limits import redis_settings
from tests.fixtures.processes import StartService
from tests.fixtures.realm import Person, Realm
from tests.fixtures.servers import Servers
from tests.fixtures.service import MakeService

MAIN, AUTH, ABSENT = 3, 4, 99
SECONDS = 10
KINDS = {STREAM, LEASE, READ_UNTIL, LOGOUT_TOKEN}


@pytest.fixture
async def databases(servers: Servers) -> AsyncIterator[dict[int, Redis]]:
    """Both databases, with nothing of an earlier test."""
    async with AsyncExitStack() as stack:
        found = {}
        for number in (MAIN, AUTH):
            client = Redis.from_url(servers.redis_url, db=number)
            found[number] = await stack.enter_async_context(client)
            await client.flushdb()
        yield found


async def names(redis: Any) -> set[str]:
    """Return what keys there are; of logout tokens only the prefix."""
    found = {key.decode() for key in await redis.keys()}
    return {
        LOGOUT_TOKEN if name.startswith(LOGOUT_TOKEN) else name
        for name in found
    }


async def until_refused(url: str, person: Person) -> None:
    """Wait until a service takes his token no more."""
    until = time.monotonic() + SECONDS
    async with httpx.AsyncClient(headers=person.headers) as client:
        while 401 != (await client.get(f"{url}/me")).status_code:
            assert time.monotonic() < until


def log_out(realm: Realm, person: Person) -> object:
    token = person.tokens["refresh_token"]
    return realm.post("logout", client_id="gatehouse", refresh_token=token)


async def test_all_processes_find_ended_sessions_there(
    start_service: StartService, realm: Realm, databases: dict[int, Redis]
) -> None:
    """Whatever belongs to them is in that database, and in no other."""
    person = realm.new_person()
    settings = {name.upper(): str(v) for name, v in realm.settings.items()}
    settings |= {"MAIN_REDIS_DB": str(MAIN), "AUTH_REDIS_DB": str(AUTH)}
    async with (
        start_service(**settings) as first,
        start_service(**settings) as second,
        httpx.AsyncClient(headers=person.headers) as client,
    ):
        assert 200 == (await client.get(f"{second.url}/me")).status_code
        realm.tell(f"{first.url}/auth/backchannel-logout")
        await asyncio.to_thread(log_out, realm, person)
        await until_refused(second.url, person)
        async with asyncio.timeout(SECONDS):
            while KINDS != await names(databases[AUTH]):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        others = await names(databases[MAIN])
    realm.tell("")
    assert "gatehouse:push:position" in others
    assert set() == others & KINDS


async def test_processes_that_disagree_hear_of_it_from_keycloak(
    make_service: MakeService, realm: Realm, databases: dict[int, Redis]
) -> None:
    """As during an update that changes the number: each reads its events."""
    person = realm.new_person()
    settings = {**realm.settings, "main_redis_db": MAIN}
    with (
        make_service(**settings) as old,
        make_service(**settings, auth_redis_db=AUTH) as new,
    ):
        await asyncio.to_thread(log_out, realm, person)
        for pod in (old, new):
            await until_refused(pod.url, person)
        found = [await names(one) & KINDS for one in databases.values()]
    assert all(STREAM in some for some in found)


async def test_a_database_that_is_not_there_is_down(
    make_service: MakeService,
) -> None:
    """Health tells so, and when to ask again; everything else goes on."""
    with make_service(main_redis_db=MAIN, auth_redis_db=ABSENT) as pod:
        async with httpx.AsyncClient(base_url=pod.url) as client:
            health = await client.get("/health")
            ready = (await client.get("/readyz")).status_code
            metrics = (await client.get("/metrics")).text
    states = health.json()
    assert (503, "2") == (health.status_code, health.headers["retry-after"])
    assert ("up", "down", 200) == (
        states["redis"],
        states["auth_redis"],
        ready,
    )
    assert 'pool_in_use{pool="auth_redis"} ' in metrics


@pytest.mark.parametrize(
    ("path", "auth", "expected", "is_another"),
    [
        ("", None, MAIN, False),
        ("", MAIN, MAIN, False),
        ("", AUTH, AUTH, True),
        ("", 0, 0, True),
        ("/5", None, 5, False),
        ("/5", 5, 5, False),
        ("/5", AUTH, AUTH, True),
        ("/5", 0, 0, True),
    ],
)
async def test_the_number_that_is_given_is_used(
    servers: Servers,
    path: str,
    auth: int | None,
    expected: int,
    is_another: bool,
) -> None:
    """It wins over that of the URL, and the same one needs no more pools."""
    settings = redis_settings(servers, redis_url=servers.redis_url + path)
    main = RRedis(settings, MAIN)
    redis = main.at(auth)
    info = await redis.client.client_info()
    assert (expected, is_another) == (info["db"], redis is not main)
    for one in (main, redis):
        await one.close()


@pytest.mark.parametrize(
    ("auth", "expected"), [(None, 5), (5, 5), (0, 0), (AUTH, AUTH)]
)
async def test_the_number_that_is_given_is_used_behind_sentinels(
    servers: Servers, auth: int | None, expected: int
) -> None:
    """As without them: it wins over that of the URL."""
    settings = redis_settings(
        servers, redis_url="redis://gate/5", redis_sentinels="127.0.0.1:1"
    )
    main = RRedis(settings, MAIN)
    redis = main.at(auth)
    pool: Any = redis.client.connection_pool
    assert (5, expected, expected) == (
        main.database,
        redis.database,
        pool.make_connection().db,
    )
    for one in (main, redis):
        await one.close()
