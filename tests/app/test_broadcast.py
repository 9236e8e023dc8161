"""Telling everybody something, and counting who is there."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection

from app.api.ws.constants import PkgID
from app.constants import CONNECTIONS_LIFE_SECONDS, MAX_PUSH_BYTES
from app.storage.connections import ConnectionDirectory, PodSockets
from app.storage.redis import RRedis
from tests.fixtures.pushes import next_pushes
from tests.fixtures.service import AsUser, MakeService, Service
from tests.fixtures.sockets import DEADLINE_SECONDS, open_socket

SignIn = Callable[[str], str]
NOTICE = PkgID.SERVER_NOTICE
USERS = ["reader", "editor", "admin"]


@pytest.fixture(scope="module")
def other(make_service: MakeService) -> Iterator[Service]:
    """A second pod."""
    with make_service() as service:
        yield service


@pytest.fixture
async def admin(
    service: Service, as_user: AsUser
) -> AsyncIterator[httpx.AsyncClient]:
    """The administrator on the first pod."""
    async with httpx.AsyncClient(
        base_url=service.url, headers=as_user("admin")
    ) as client:
        yield client


@pytest.fixture
async def sockets(
    service: Service, other: Service, sign_in: SignIn
) -> AsyncIterator[list[ClientConnection]]:
    """A socket of each user on each of two pods."""
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(open_socket(pod, sign_in(user)))
            for pod in (service, other)
            for user in USERS
        ]


async def next_data(socket: ClientConnection) -> Any:
    """Return the data of the next notice."""
    (push,) = await next_pushes(socket, 1, {NOTICE})
    return push["data"]


async def test_a_broadcast_reaches_everybody(
    admin: httpx.AsyncClient, sockets: list[ClientConnection]
) -> None:
    """It is accepted at once, and pushed on every pod."""
    data = {"msg": "back at noon", "nul": "\0", "much": 2**64}
    answer = await admin.post(
        "/broadcast", json={"pkg_id": NOTICE, "data": data}
    )
    assert 202 == answer.status_code
    assert [data] * 6 == [await next_data(socket) for socket in sockets]


async def test_a_broadcast_to_users_reaches_only_them(
    admin: httpx.AsyncClient, sockets: list[ClientConnection]
) -> None:
    """Users are named by their user names."""
    for data, users in (
        ({"n": 1}, ["reader", "nobody"]),
        ({"n": 2}, ["editor"]),
        ({"n": 3}, None),
    ):
        body = {"pkg_id": NOTICE, "data": data, "users": users}
        assert 202 == (await admin.post("/broadcast", json=body)).status_code
    seen: list[list[Any]] = []
    for socket in sockets:
        seen.append([await next_data(socket)])
        while seen[-1][-1] != {"n": 3}:
            seen[-1].append(await next_data(socket))
    expected = [[{"n": 1}, {"n": 3}], [{"n": 2}, {"n": 3}], [{"n": 3}]]
    assert expected * 2 == seen


async def test_a_broadcast_needs_the_readers_permission(
    admin: httpx.AsyncClient, sockets: list[ClientConnection]
) -> None:
    """Any push can be sent, to those who could get it anyway."""
    body = {"pkg_id": PkgID.BOOKS_CHANGED, "data": {"any": "thing"}}
    assert 202 == (await admin.post("/broadcast", json=body)).status_code
    (push,) = await next_pushes(sockets[0], 1)
    assert {"any": "thing"} == push["data"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"pkg_id": PkgID.GET_AUTHORS}, "pkg_id"),
        ({"pkg_id": 999}, "pkg_id"),
        ({"pkg_id": -1}, "pkg_id"),
        ({"pkg_id": "103"}, "pkg_id"),
        ({"data": []}, "data"),
        ({"data": {"text": "x" * MAX_PUSH_BYTES}}, "data"),
        ({"data": {"half": "\ud800"}}, "data"),
        ({"data": {"none": float("nan")}}, "data"),
        ({"users": []}, "users"),
        ({"users": [""]}, "users"),
        ({"users": ["x"] * 1001}, "users"),
        ({"more": 1}, "more"),
    ],
)
async def test_a_broadcast_that_cannot_be_pushed_is_refused(
    admin: httpx.AsyncClient, change: dict[str, Any], field: str
) -> None:
    """The answer names the field that is wrong."""
    body = {"pkg_id": NOTICE, "data": {}, **change}
    answer = await admin.post(
        "/broadcast",
        content=json.dumps(body),
        headers={"Content-Type": "application/json"},
    )
    assert (422, field) == (
        answer.status_code,
        answer.json()["errors"][0]["loc"][1],
    )


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/broadcast"), ("GET", "/connections")]
)
async def test_only_administrators_may(
    service: Service, as_user: AsUser, method: str, path: str
) -> None:
    """Neither is for users who may only write."""
    body = {"pkg_id": NOTICE, "data": {}} if method == "POST" else None
    async with httpx.AsyncClient(
        base_url=service.url, headers=as_user("editor")
    ) as client:
        answer = await client.request(method, path, json=body)
    assert 403 == answer.status_code


async def test_sockets_are_counted_over_all_pods(
    admin: httpx.AsyncClient, sockets: list[ClientConnection]
) -> None:
    """Each socket counts for its pod and for its user."""
    found = await _until_total(admin, 6)
    assert [3, 3] == sorted(found["pods"].values())[-2:]
    assert dict.fromkeys(USERS, 2) == found["users"]
    await sockets[0].close()
    found = await _until_total(admin, 5)
    assert 1 == found["users"]["reader"]


async def test_a_pod_that_dies_is_not_counted_for_long(
    service: Service, admin: httpx.AsyncClient
) -> None:
    """What it has told is believed for less than a minute."""
    redis = RRedis(service.settings, service.settings.main_redis_db)
    directory = ConnectionDirectory(redis)
    await directory.tell("dead", PodSockets(7, {"ghost": 7}))
    assert 7 == (await _connections(admin))["pods"]["dead"]
    now, _ = await redis.client.time()
    then = now - CONNECTIONS_LIFE_SECONDS - 1
    told = f'{then} {{"total":7,"users":{{}}}}'
    await redis.client.hset("gatehouse:connections", "dead", told)
    assert "dead" not in (await _connections(admin))["pods"]
    await redis.close()
    assert CONNECTIONS_LIFE_SECONDS < 60


async def _connections(admin: httpx.AsyncClient) -> dict[str, Any]:
    answer = await admin.get("/connections")
    found: dict[str, Any] = answer.raise_for_status().json()
    return found


async def _until_total(admin: httpx.AsyncClient, total: int) -> dict[str, Any]:
    """Return the counts when there are so many sockets.

    A pod that another test has killed may be counted until then.
    """
    async with asyncio.timeout(DEADLINE_SECONDS + CONNECTIONS_LIFE_SECONDS):
        found = await _connections(admin)
        while found["total"] != total:
            found = await _connections(admin)
    return found
