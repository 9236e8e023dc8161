"""What a socket gets is its client's choice, and can be caught up on."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from websockets.asyncio.client import ClientConnection

from app.api.ws.constants import PkgID, RSPCode
from app.constants import PUSH_MEMORY_LENGTH
from app.settings import DatabaseSettings
from app.storage.db import Database
from app.storage.outbox import announce
from tests.fixtures.pushes import next_names, next_pushes, store_authors
from tests.fixtures.servers import Servers
from tests.fixtures.service import AsUser, MakeService, Service
from tests.fixtures.sockets import DEADLINE_SECONDS, ask, open_socket, request

SignIn = Callable[[str], str]
ROLE_MAP = Path("actions.json").read_text()
BOTH = [PkgID.AUTHORS_CHANGED, PkgID.BOOKS_CHANGED]
NOTICE = frozenset({PkgID.SERVER_NOTICE})


@pytest.fixture(scope="module")
def other(make_service: MakeService) -> Iterator[Service]:
    """A second pod."""
    with make_service() as service:
        yield service


@pytest.fixture
async def database(migrated: Servers) -> AsyncIterator[Database]:
    """The pods' database; what is announced here is pushed by a pod."""
    settings = DatabaseSettings(database_url=migrated.database_url)
    database = Database(settings)
    yield database
    await database.close()


@pytest.fixture
async def left_off(
    service: Service, database: Database, sign_in: SignIn
) -> dict[str, Any]:
    """The position of a client that has seen this push and has left.

    Those of an earlier test may come to its socket first.
    """
    name = uuid4().hex
    async with open_socket(service, sign_in("reader")) as socket:
        await store_authors(database, name)
        (push,) = await next_pushes(socket, 1)
        while name not in json.dumps(push):
            (push,) = await next_pushes(socket, 1)
    after: dict[str, Any] = push["meta"]
    return after


async def subscribe(
    socket: ClientConnection, after: dict[str, Any], *pkg_ids: int
) -> bool:
    """Subscribe to authors or these, and say whether it was recovered."""
    reply = await ask(
        socket,
        PkgID.SUBSCRIBE,
        {"pkg_ids": pkg_ids or [PkgID.AUTHORS_CHANGED], "after": after},
    )
    recovered: bool = reply["data"]["recovered"]
    return recovered


async def push_books(database: Database, *data: Any) -> None:
    """Push about books in one transaction."""
    async with database.unit_of_work() as session:
        for values in data:
            await announce(session, PkgID.BOOKS_CHANGED, values)


async def test_unsubscribed_pushes_do_not_come(
    service: Service, database: Database, sign_in: SignIn
) -> None:
    """A socket has all pushes at first, can do without, and have them back."""
    authors = {"pkg_ids": [PkgID.AUTHORS_CHANGED]}
    async with open_socket(service, sign_in("reader")) as socket:
        reply = await ask(socket, PkgID.UNSUBSCRIBE, authors)
        assert (RSPCode.OK, {}) == (reply["status_code"], reply["data"])
        await store_authors(database, "unseen")
        await push_books(database, {"n": 1})
        (push,) = await next_pushes(socket, 1)
        assert {"n": 1} == push["data"]
        reply = await ask(socket, PkgID.SUBSCRIBE, authors)
        assert {"recovered": False} == reply["data"]
        assert push["meta"] == reply["meta"]
        await store_authors(database, "seen")
        assert ["seen"] == await next_names(socket, 1)


async def test_what_was_missed_is_replayed_on_another_pod(
    other: Service,
    left_off: dict[str, Any],
    database: Database,
    sign_in: SignIn,
) -> None:
    """After the reply come the missed pushes in order, then new ones."""
    names = [f"author {number}" for number in range(5)]
    await store_authors(database, *names[:2])
    await push_books(database, {"n": 1})
    await store_authors(database, *names[2:])
    async with open_socket(other, sign_in("reader")) as socket:
        await _come_to(socket, left_off["seq"] + 6)
        assert await subscribe(socket, left_off)
        await store_authors(database, "new")
        assert [*names, "new"] == await next_names(socket, 6)


async def test_a_process_that_was_not_there_replays_from_redis(
    make_service: MakeService,
    left_off: dict[str, Any],
    database: Database,
    service: Service,
    sign_in: SignIn,
) -> None:
    """Also more than any process remembers, and all that comes meanwhile."""
    count = PUSH_MEMORY_LENGTH + 200
    await push_books(database, *range(count))
    async with open_socket(service, sign_in("reader")) as socket:
        await _come_to(socket, left_off["seq"] + count)
    with make_service() as late:
        async with open_socket(late, sign_in("reader")) as socket:
            await _come_to(socket, left_off["seq"] + count)
            assert await subscribe(socket, left_off, *BOTH)
            for number in range(count, count + 10):
                await push_books(database, number)
            got = await next_pushes(socket, count + 10)
    assert list(range(count + 10)) == [push["data"] for push in got]
    first = left_off["seq"] + 1
    numbers = [push["meta"]["seq"] for push in got]
    assert list(range(first, first + count + 10)) == numbers


async def test_two_replays_of_one_socket_lose_nothing(
    service: Service,
    left_off: dict[str, Any],
    database: Database,
    sign_in: SignIn,
) -> None:
    """Each kind can be caught up on by itself, at the same time."""
    await store_authors(database, "Ada")
    await push_books(database, {"n": 1})
    async with open_socket(service, sign_in("reader")) as socket:
        await _come_to(socket, left_off["seq"] + 2)
        for pkg_id in BOTH:
            data = {"pkg_ids": [pkg_id], "after": left_off}
            message = request(PkgID.SUBSCRIBE, data)
            await socket.send(json.dumps(message))
        got = await next_pushes(socket, 2)
        await store_authors(database, "Bob")
        assert sorted(BOTH) == sorted(push["pkg_id"] for push in got), got
        assert ["Bob"] == await next_names(socket, 1)


@pytest.mark.parametrize(
    "change",
    [{"epoch": "another"}, {"seq": 2**53 - 1}],
    ids=["epoch", "future"],
)
async def test_a_position_that_never_was_is_not_recovered(
    service: Service,
    left_off: dict[str, Any],
    sign_in: SignIn,
    change: dict[str, Any],
) -> None:
    """A client that cannot be caught up is told so, and gets what is new."""
    async with open_socket(service, sign_in("reader")) as socket:
        assert not await subscribe(socket, {**left_off, **change})


async def test_the_newest_position_is_recovered(
    service: Service, left_off: dict[str, Any], sign_in: SignIn
) -> None:
    """Who has missed nothing is told so."""
    async with open_socket(service, sign_in("reader")) as socket:
        assert await subscribe(socket, left_off)


async def test_all_who_come_back_at_once_are_served(
    make_service: MakeService, sign_in: SignIn, as_user: AsUser
) -> None:
    """A process that has just started has to ask Redis for each of them."""
    count = 60
    notice = {"pkg_id": PkgID.SERVER_NOTICE, "data": {}}
    with make_service() as first:
        async with (
            httpx.AsyncClient(
                base_url=first.url, headers=as_user("admin")
            ) as admin,
            open_socket(first, sign_in("reader")) as socket,
        ):
            positions = []
            for _ in range(3):
                await admin.post("/broadcast", json=notice)
                (push,) = await next_pushes(socket, 1, NOTICE)
                positions.append(push["meta"])
    data = {"pkg_ids": [PkgID.SERVER_NOTICE], "after": positions[0]}
    with make_service(redis_max_connections=10) as second:
        async with AsyncExitStack() as stack:
            token = sign_in("reader")
            sockets = [
                await stack.enter_async_context(open_socket(second, token))
                for _ in range(count)
            ]
            replies = await asyncio.gather(
                *(ask(socket, PkgID.SUBSCRIBE, data) for socket in sockets)
            )
    answers = [(r["status_code"], r["data"]["recovered"]) for r in replies]
    assert [(RSPCode.OK, True)] * count == answers


@pytest.mark.parametrize(
    "data",
    [
        {"pkg_ids": [PkgID.GET_AUTHORS]},
        {"pkg_ids": [PkgID.AUTHORS_CHANGED, 999]},
        {"pkg_ids": []},
        {"pkg_ids": ["100"]},
        {"pkg_ids": [100] * 101},
        {},
    ],
)
@pytest.mark.parametrize("pkg_id", [PkgID.SUBSCRIBE, PkgID.UNSUBSCRIBE])
async def test_only_pushes_can_be_subscribed_to(
    service: Service, sign_in: SignIn, pkg_id: PkgID, data: dict[str, Any]
) -> None:
    """Anything else is invalid data."""
    async with open_socket(service, sign_in("reader")) as socket:
        reply = await ask(socket, pkg_id, data)
        assert RSPCode.INVALID_DATA == reply["status_code"]


async def test_what_may_not_be_read_cannot_be_subscribed_to(
    make_service: MakeService, tmp_path: Path, sign_in: SignIn
) -> None:
    """The answer names the permission that is missing."""
    role_map = json.loads(ROLE_MAP)
    role_map["ws"]["GET_BOOKS"] = "admin"
    path = tmp_path / "actions.json"
    path.write_text(json.dumps(role_map))
    with make_service(actions_file_path=path) as service:
        async with open_socket(service, sign_in("reader")) as socket:
            reply = await ask(socket, PkgID.SUBSCRIBE, {"pkg_ids": BOTH})
    assert (RSPCode.PERMISSION_DENIED, "Permission needed: ws GET_BOOKS") == (
        reply["status_code"],
        reply["data"]["msg"],
    )


async def _come_to(socket: ClientConnection, seq: int) -> None:
    """Return when the socket's pod has come this far."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        at = -1
        while at < seq:
            reply = await ask(socket, PkgID.SUBSCRIBE, {"pkg_ids": BOTH})
            at = reply["meta"]["seq"]
