"""What waits for Redis is bounded, and clients are told of what is lost."""

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any
from uuid import uuid4

import httpx
import pytest
from prometheus_client import REGISTRY
from sqlalchemy.ext.asyncio import AsyncSession
from websockets.asyncio.client import ClientConnection

from app.api.ws.constants import PkgID
from app.constants import PUSH_BATCH_SIZE
from app.schemas.push import Position
from app.storage.db import Database
from app.storage.outbox import Backlog, Event, bound, take
from app.storage.pubsub import PushStream
from tests.fixtures.limits import MakeRedis
from tests.fixtures.pushes import next_names, next_pushes, store_authors
from tests.fixtures.servers import Servers
from tests.fixtures.service import AsUser, MakeService, Service
from tests.fixtures.sockets import ask, open_socket

NOTICE = frozenset({PkgID.SERVER_NOTICE})
MOST = 3
SECONDS = 20
KINDS = [PkgID.AUTHORS_CHANGED, PkgID.BOOKS_CHANGED]


@pytest.fixture
def bounded(make_service: MakeService) -> Iterator[Service]:
    """A service that lets few events wait."""
    with make_service(outbox_max_events=MOST) as service:
        yield service


def dropped() -> float:
    """Return how many events were dropped."""
    return REGISTRY.get_sample_value("outbox_dropped_total") or 0


async def test_too_many_events_are_dropped_and_told_of(
    bounded: Service,
    servers: Servers,
    sign_in: Callable[[str], str],
    as_user: AsUser,
) -> None:
    """Sockets read anew, old positions are not recovered, all goes on."""
    assert servers.valkey is not None
    before = dropped()
    async with (
        open_socket(bounded, sign_in("reader")) as socket,
        httpx.AsyncClient(
            base_url=bounded.url, headers=as_user("editor")
        ) as client,
    ):
        await client.post("/authors", json={"name": "before"})
        old = (await next_pushes(socket, 1))[0]["meta"]
        async with servers.valkey.away(), asyncio.timeout(SECONDS):
            for number in range(MOST + 1):
                await client.post("/authors", json={"name": str(number)})
            while dropped() - before < MOST + 1:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            await client.post("/authors", json={"name": "after"})
        told, then = await until_pushed(socket)
        reply = await ask(
            socket, PkgID.SUBSCRIBE, {"pkg_ids": KINDS, "after": old}
        )
    assert told
    assert "after" == then["data"]["values"]["name"]
    assert old["epoch"] != then["meta"]["epoch"]
    assert {"recovered": False} == reply["data"]


async def until_pushed(
    socket: ClientConnection,
) -> tuple[int, dict[str, Any]]:
    """Return the next push, and how often the socket was told to read anew.

    A Redis that was restarted is one reason to tell it so, lost events are
    another.
    """
    told = 0
    while True:
        (push,) = await next_pushes(socket, 1, {*NOTICE, KINDS[0]})
        if push["pkg_id"] not in NOTICE:
            return told, push
        assert {"resync": KINDS} == push["data"]
        told += 1


async def test_as_many_as_may_wait_are_pushed(
    bounded: Service, servers: Servers, sign_in: Callable[[str], str]
) -> None:
    """Within the bound nothing is lost."""
    assert servers.valkey is not None
    names = [str(number) for number in range(MOST)]
    async with open_socket(bounded, sign_in("editor")) as socket:
        async with servers.valkey.away():
            for name in names:
                await ask(socket, PkgID.CREATE_AUTHOR, {"name": name})
        assert names == await next_names(socket, MOST)


async def test_a_backlog_is_dropped_as_a_whole(database: Database) -> None:
    """What is left is one row; it counts for nothing, and stays one."""
    await store_authors(database, *"abcd")
    async with database.unit_of_work() as session:
        assert Backlog(4, 0) == await bound(session, 4)
        assert Backlog(0, 4) == await bound(session, 3)
        async with session.begin_nested() as look:
            assert [b""] == [event.body for event in await take(session)]
            await look.rollback()
        await store_authors(database, *"efgh")
        assert Backlog(0, 4) == await bound(session, 3)
        assert [b""] == [event.body for event in await take(session)]


async def names(session: AsyncSession) -> list[str]:
    """Take what waits, and say of whom it tells."""
    bodies = [json.loads(event.body) for event in await take(session)]
    return [body["data"]["values"]["name"] for body in bodies]


@pytest.mark.parametrize("dies", [False, True])
async def test_nobody_takes_events_while_another_has_older_ones(
    database: Database, *, dies: bool
) -> None:
    """If that one dies they are the next one's, in their order."""
    older = [f"{number:03}" for number in range(PUSH_BATCH_SIZE)]
    await store_authors(database, *older)
    with suppress(ZeroDivisionError):
        async with database.unit_of_work() as first:
            assert older == await names(first)
            await store_authors(database, "newer")
            later = asyncio.create_task(_take_all(database))
            await asyncio.sleep(0.2)
            assert not later.done()
            if dies:
                raise ZeroDivisionError
    assert (older if dies else ["newer"]) == await later


async def test_what_is_taken_is_not_dropped(database: Database) -> None:
    """Nor does who drops the others hold up who has it."""
    await store_authors(database, "a", "b")
    async with database.unit_of_work() as first:
        assert ["a", "b"] == await names(first)
        await store_authors(database, "c", "d")
        dropping = asyncio.create_task(_drop_all(database))
        await asyncio.sleep(0.2)
        assert not dropping.done()
    assert Backlog(0, 2) == await dropping


async def test_no_more_are_taken_than_are_published_at_once(
    database: Database,
) -> None:
    """However the database finds them."""
    count = 2 * PUSH_BATCH_SIZE + 1
    everybody = [f"{number:03}" for number in range(count)]
    await store_authors(database, *everybody)
    found = [await _take_all(database) for _ in range(3)]
    assert [PUSH_BATCH_SIZE, PUSH_BATCH_SIZE, 1] == list(map(len, found))
    assert everybody == [name for some in found for name in some]


async def _take_all(database: Database) -> list[str]:
    async with database.unit_of_work() as session:
        return await names(session)


async def _drop_all(database: Database) -> Backlog:
    async with database.unit_of_work() as session:
        return await bound(session, 1)


async def test_a_gap_that_is_published_twice_is_one(
    make_redis: MakeRedis,
) -> None:
    """A publisher that dies in between begins no second epoch."""
    redis = make_redis()
    await redis.client.flushdb()
    stream = PushStream(redis, redis)
    events = [
        Event(1, uuid4(), body)
        for body in (b"first", b"", b"second", b"third")
    ]
    last = Position(str(events[1].key), 2)
    for some in (events[1:3], events[3:], events[1:3]):
        found = await stream.publish(some, None)
    assert last == found
    assert [(1, b"second"), (2, b"third")] == list(await stream.read(0, 2))
    await redis.client.flushdb()
    assert last == await stream.publish(events, None)
    assert last == await stream.publish((), last)
