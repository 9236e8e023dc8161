"""Pushes: to every socket on every pod that may read, once and in order."""

import asyncio
import json
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from socket import SO_LINGER, SOL_SOCKET
from time import monotonic
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
from websockets.asyncio.client import ClientConnection

from app.api.ws.constants import PkgID, RSPCode
from app.constants import PUSH_POLL_SECONDS
from app.schemas.push import Position
from app.settings import DatabaseSettings
from app.storage.db import Database
from app.storage.outbox import Event, take
from app.storage.pubsub import PushStream
from app.storage.redis import RRedis
from tests.fixtures.locks import locked_authors, until_waiting
from tests.fixtures.pushes import next_names, next_pushes, store_authors
from tests.fixtures.servers import Servers
from tests.fixtures.service import AsUser, MakeService, Service
from tests.fixtures.sockets import ask, open_socket, request

SignIn = Callable[[str], str]
ROLE_MAP = Path("actions.json").read_text()
NOTICE = frozenset({PkgID.SERVER_NOTICE})
POSITION = "gatehouse:push:position"
LOST_DB = 5
RESET = struct.pack("ii", 1, 0)


@pytest.fixture(scope="module")
def pods(
    make_service: MakeService, service: Service
) -> Iterator[list[Service]]:
    """Three services on one Redis and one database."""
    with make_service() as second, make_service() as third:
        yield [service, second, third]


@pytest.fixture
async def dying(migrated: Servers) -> AsyncIterator[Database]:
    """The pods' database, as a process sees it that dies after a commit."""
    database = Database(DatabaseSettings(database_url=migrated.database_url))
    yield database
    await database.close()


@pytest.fixture
async def redis(service: Service) -> AsyncIterator[RRedis]:
    """The pods' Redis."""
    redis = RRedis(service.settings, service.settings.main_redis_db)
    yield redis
    await redis.close()


@pytest.fixture
async def sockets(
    pods: list[Service], sign_in: SignIn
) -> AsyncIterator[list[ClientConnection]]:
    """Two sockets of one user on each pod."""
    async with AsyncExitStack() as stack:
        token = sign_in("reader")
        yield [
            await stack.enter_async_context(open_socket(pod, token))
            for pod in pods
            for _ in range(2)
        ]


async def post(pod: Service, headers: dict[str, str], name: str) -> int:
    """Create an author over HTTP."""
    async with httpx.AsyncClient(base_url=pod.url, headers=headers) as client:
        answer = await client.post("/authors", json={"name": name})
    return answer.status_code


async def test_every_socket_gets_every_push_once_and_in_order(
    pods: list[Service], sockets: list[ClientConnection], as_user: AsUser
) -> None:
    """Whatever pod a change is made on, all sockets of all pods are told."""
    names = [f"author {number}" for number in range(9)]
    for number, name in enumerate(names):
        assert 201 == await post(pods[number % 3], as_user("editor"), name)
    got = [await next_pushes(socket, 9) for socket in sockets]
    seen = [[p["data"]["values"]["name"] for p in mine] for mine in got]
    assert [names] * 6 == seen
    numbers = [push["meta"]["seq"] for push in got[0]]
    assert list(range(numbers[0], numbers[0] + 9)) == numbers


@pytest.mark.parametrize("by", ["header", "message"])
async def test_a_push_right_after_a_client_has_come_in(
    service: Service,
    sign_in: SignIn,
    dying: Database,
    monkeypatch: pytest.MonkeyPatch,
    by: str,
) -> None:
    """Whoever was told that he is in misses nothing, however slow Redis is."""
    limits, token = service.container.limits, sign_in("reader")
    add = limits.add_connection

    async def add_slowly(*socket: Any) -> bool:
        await asyncio.sleep(0.5)
        return await add(*socket)

    monkeypatch.setattr(limits, "add_connection", add_slowly)
    header = token if by == "header" else None
    async with open_socket(service, header) as socket:
        if by == "message":
            data = {"token": token}
            reply = await ask(socket, PkgID.AUTHENTICATE, data)
            assert RSPCode.OK == reply["status_code"]
        await store_authors(dying, by)
        assert [by] == await next_names(socket, 1)


@pytest.mark.parametrize("resets", [True, False])
async def test_a_push_while_one_client_has_just_gone(
    service: Service,
    sign_in: SignIn,
    as_user: AsUser,
    migrated: Servers,
    resets: bool,
) -> None:
    """Whose message is still answered is gone, and no other loses a push."""
    database = await asyncpg.connect(migrated.database_url)
    async with (
        httpx.AsyncClient(
            base_url=service.url, headers=as_user("admin")
        ) as admin,
        open_socket(service, sign_in("reader")) as first,
        open_socket(service, sign_in("editor")) as gone,
        open_socket(service, sign_in("reader")) as last,
    ):
        for socket in (first, gone, last):
            await ask(socket, PkgID.ME)
        async with locked_authors(database):
            message = request(PkgID.CREATE_AUTHOR, {"name": f"Gone {resets}"})
            await gone.send(json.dumps(message))
            await until_waiting(database, 1)
            if resets:
                wire = gone.transport.get_extra_info("socket")
                wire.setsockopt(SOL_SOCKET, SO_LINGER, RESET)
            gone.transport.abort()
            await asyncio.sleep(0.1)
            notice = {"pkg_id": PkgID.SERVER_NOTICE, "data": {"n": 1}}
            answer = await admin.post("/broadcast", json=notice)
            assert answer.status_code == 202
            for socket in (first, last):
                (push,) = await next_pushes(socket, 1, NOTICE)
                assert {"n": 1} == push["data"]
    await database.close()


async def test_a_change_tells_what_is_new(
    service: Service, sign_in: SignIn, as_user: AsUser
) -> None:
    """A push has the action, the id and all columns; unchanged is untold."""
    async with open_socket(service, sign_in("reader")) as socket:
        async with httpx.AsyncClient(
            base_url=service.url, headers=as_user("editor")
        ) as client:
            answer = await client.post("/authors", json={"name": "Ada"})
            author = answer.json()
            path = f"/authors/{author['id']}"
            await client.put(path, json={"name": "Ada"})
            await client.put(path, json={"name": "Bob"})
            await client.delete(path)
        changes = [p["data"] for p in await next_pushes(socket, 3)]
    assert [
        {"action": "created", "id": author["id"], "values": author},
        {
            "action": "updated",
            "id": author["id"],
            "values": {**author, "name": "Bob"},
        },
        {"action": "deleted", "id": author["id"], "values": None},
    ] == changes


async def test_a_change_is_told_at_once(
    pods: list[Service], sockets: list[ClientConnection], as_user: AsUser
) -> None:
    """Nobody waits for the next look into the outbox."""
    began = monotonic()
    for number in range(10):
        await post(pods[1], as_user("editor"), str(number))
        assert [str(number)] == await next_names(sockets[0], 1)
    assert monotonic() - began < 10 * PUSH_POLL_SECONDS / 2


async def test_what_is_undone_is_not_told(
    service: Service, sign_in: SignIn, as_user: AsUser
) -> None:
    """A change that was refused has no event."""
    async with open_socket(service, sign_in("reader")) as socket:
        for name in ("Ada", "Ada", "Bob"):
            await post(service, as_user("editor"), name)
        assert ["Ada", "Bob"] == await next_names(socket, 2)


async def test_only_who_may_read_is_told(
    make_service: MakeService, tmp_path: Path, sign_in: SignIn
) -> None:
    """The role map in force decides; its change is told to every socket."""
    role_map = json.loads(ROLE_MAP)
    path = tmp_path / "actions.json"
    role_map["ws"]["GET_AUTHORS"] = "admin"
    path.write_text(json.dumps(role_map))
    with make_service(actions_file_path=path) as service:
        async with (
            open_socket(service, sign_in("reader")) as reader,
            open_socket(service, sign_in("editor")) as editor,
            open_socket(service, sign_in("admin")) as admin,
        ):
            await ask(editor, PkgID.CREATE_AUTHOR, {"name": "hidden"})
            assert ["hidden"] == await next_names(admin, 1)
            role_map["ws"]["GET_AUTHORS"] = "reader"
            path.write_text(json.dumps(role_map))
            kinds = {PkgID.PERMISSIONS_CHANGED, PkgID.AUTHORS_CHANGED}
            (told,) = await next_pushes(reader, 1, kinds)
            snapshot = service.container.rbac.snapshot
            assert snapshot is not None
            assert {"digest": snapshot.digest} == told["data"]
            await ask(editor, PkgID.CREATE_AUTHOR, {"name": "open"})
            assert ["open"] == await next_names(reader, 1)


async def test_a_publisher_that_dies_after_a_commit_loses_nothing(
    sockets: list[ClientConnection], dying: Database
) -> None:
    """Another pod pushes what it has left behind, once."""
    await store_authors(dying, "first", "second")
    await store_authors(dying, "third")
    got = [await next_names(socket, 3) for socket in sockets]
    assert [["first", "second", "third"]] * 6 == got


async def test_a_publisher_that_dies_after_publishing_pushes_once(
    sockets: list[ClientConnection], dying: Database, redis: RRedis
) -> None:
    """Events that are published and not removed are not pushed again."""
    stream = PushStream(redis, redis)
    with pytest.raises(ZeroDivisionError):
        await _publish_and_die(dying, stream)
    await store_authors(dying, "twice?")
    with pytest.raises(ZeroDivisionError):
        await _publish_and_die(dying, stream)
    await store_authors(dying, "after")
    got = [await next_names(socket, 2) for socket in sockets]
    assert [["twice?", "after"]] * 6 == got


async def _publish_and_die(database: Database, stream: PushStream) -> None:
    async with database.unit_of_work() as session:
        await stream.publish(await take(session), None)
        raise ZeroDivisionError


async def test_redis_away_and_back(
    pods: list[Service],
    sockets: list[ClientConnection],
    servers: Servers,
    as_user: AsUser,
) -> None:
    """Writes are as fast as ever meanwhile, and are told when it is back."""
    assert servers.valkey is not None
    names = [f"author {number}" for number in range(6)]
    began = monotonic()
    async with servers.valkey.away():
        for number, name in enumerate(names):
            assert 201 == await post(pods[number % 3], as_user("editor"), name)
        assert monotonic() - began < 5
    got = [await next_names(socket, 6) for socket in sockets]
    assert [names] * 6 == [sorted(mine) for mine in got]


async def test_what_redis_closes_in_between_is_no_outage(
    service: Service,
    redis: RRedis,
    sign_in: SignIn,
    as_user: AsUser,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Events do not wait because connections were idle, or cut, before."""
    async with open_socket(service, sign_in("reader")) as socket:
        for name in ("Ada", "Grace", "Mary"):
            await redis.client.client_kill_filter(_type="normal", skipme=True)
            await post(service, as_user("editor"), name)
            assert [name] == await next_names(socket, 1)
    publisher = "app.tasks.outbox_publisher"
    assert [] == [r for r in caplog.records if r.name == publisher]


async def test_a_lost_subscription_loses_no_push(
    pods: list[Service],
    sockets: list[ClientConnection],
    redis: RRedis,
    as_user: AsUser,
) -> None:
    """What is published while nobody listens is read from the stream."""
    names = [f"author {number}" for number in range(20)]
    for name in names:
        await redis.client.client_kill_filter(_type="pubsub")
        assert 201 == await post(pods[0], as_user("editor"), name)
    got = [await next_names(socket, 20) for socket in sockets]
    assert [names] * 6 == got


async def test_a_gap_that_cannot_be_filled_is_told(
    sockets: list[ClientConnection], dying: Database, redis: RRedis
) -> None:
    """What was lost on the way, and from the stream, is to be read anew."""
    await ask(sockets[0], PkgID.UNSUBSCRIBE, {"pkg_ids": [101]})
    await redis.client.hincrby(POSITION, "seq", 1)
    got = [await next_pushes(socket, 1, NOTICE) for socket in sockets]
    lost: list[dict[str, Any]] = [{"resync": [100, 101]}] * 5
    assert [{"resync": [100]}, *lost] == [mine[0]["data"] for mine in got]
    await store_authors(dying, "next")
    assert ["next"] * 6 == [(await next_names(s, 1))[0] for s in sockets]


async def test_a_redis_that_forgets_everything_starts_an_epoch(
    sockets: list[ClientConnection], dying: Database, redis: RRedis
) -> None:
    """Numbers start again, sockets are told, and nothing is recovered."""
    await store_authors(dying, "before")
    old = [(await next_pushes(s, 1))[0]["meta"] for s in sockets]
    await redis.client.flushall()
    reply = await ask(
        sockets[0], PkgID.SUBSCRIBE, {"pkg_ids": [100], "after": old[0]}
    )
    assert {"recovered": False} == reply["data"]
    await store_authors(dying, "after")
    for socket in sockets:
        (push,) = await next_pushes(socket, 1)
        assert "after" == push["data"]["values"]["name"]
        assert old[0]["epoch"] != push["meta"]["epoch"]


async def test_numbers_that_redis_has_lost_are_not_given_again(
    pods: list[Service], redis: RRedis, dying: Database, sign_in: SignIn
) -> None:
    """A server that comes back without its last writes starts an epoch."""
    async with open_socket(pods[0], sign_in("reader")) as socket:
        await store_authors(dying, "one", "two")
        _, last = await next_pushes(socket, 2)
        await redis.client.hset(POSITION, "seq", "1")
        await store_authors(dying, "three")
        (push,) = await next_pushes(socket, 1)
    assert ("three", True) == (
        push["data"]["values"]["name"],
        last["meta"]["epoch"] != push["meta"]["epoch"],
    )


async def test_events_that_a_restarted_redis_has_lost(
    service: Service, servers: Servers
) -> None:
    """A publisher that never saw them does not give their numbers again.

    Nor does it publish twice what is not lost.
    """
    assert servers.valkey is not None
    kept, lost = [event("kept")], [event("lost"), event("lost, too")]
    async with streaming(service) as (redis, stream):
        await redis.client.flushdb()
        old = await stream.publish(kept, None)
        await redis.client.config_set("appendonly", "no")
        assert Position(old.epoch, 3) == await stream.publish(lost, old)
    async with servers.valkey.away():
        pass
    async with streaming(service) as (_, stream):
        new = await stream.publish([*kept, event("new")], old)
        assert (1, True) == (new.seq, new.epoch != old.epoch)
        (entry,) = await stream.read(0, new.seq)
        assert b"new" in entry.body
        assert Position(new.epoch, 2) == await stream.publish(lost[:1], new)


@asynccontextmanager
async def streaming(
    service: Service,
) -> AsyncIterator[tuple[RRedis, PushStream]]:
    """Connect to a stream that no pod listens to."""
    redis = RRedis(service.settings, LOST_DB)
    yield redis, PushStream(redis, redis)
    await redis.close()


def event(name: str) -> Event:
    """Make an event that nobody waits for."""
    return Event(1, uuid4(), json.dumps({"name": name}).encode())
