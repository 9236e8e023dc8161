"""Servers that are restarted, or not there yet, under a process that runs."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from time import monotonic

import asyncpg
import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect

from app.api.ws.constants import PkgID, RSPCode
from tests.fixtures.audit import new_id, query
from tests.fixtures.processes import (
    SERVE,
    StartService,
    started,
)
from tests.fixtures.proxy import Proxy
from tests.fixtures.pushes import next_names
from tests.fixtures.servers import Servers
from tests.fixtures.service import AsUser, Service
from tests.fixtures.sockets import ask, open_socket

SignIn = Callable[[str], str]
AWAY = RSPCode.UNAVAILABLE
CREATED = """\
SELECT resource FROM user_action WHERE outcome = 'success'
AND action IN ('http POST /authors', 'ws CREATE_AUTHOR') ORDER BY resource"""
SECONDS = 20
BACK_SECONDS = 2


async def reads_and_writes(
    client: httpx.AsyncClient, socket: ClientConnection, name: str
) -> list[int]:
    """Read and write over both protocols, and return how that ended."""
    answers = [
        await client.get("/authors"),
        await client.post("/authors", json={"name": f"{name} by HTTP"}),
    ]
    replies = [
        await ask(socket, PkgID.GET_AUTHORS),
        await ask(socket, PkgID.CREATE_AUTHOR, {"name": f"{name} by socket"}),
    ]
    return [
        *(answer.status_code for answer in answers),
        *(reply["status_code"] for reply in replies),
    ]


async def test_postgres_restarts(
    start_service: StartService,
    servers: Servers,
    as_user: AsUser,
) -> None:
    """Away is 503 and reply 8, not dead; then nobody meets an old wire."""
    assert servers.postgres is not None
    headers = as_user("editor")
    async with (
        start_service(SERVE) as process,
        httpx.AsyncClient(base_url=process.url, headers=headers) as client,
        httpx.AsyncClient(base_url=process.management_url) as probes,
        connect(
            process.ws_url, additional_headers=headers, proxy=None
        ) as socket,
    ):
        well = [200, 201, RSPCode.OK, RSPCode.OK]
        assert well == await reads_and_writes(client, socket, "before")
        async with servers.postgres.away():
            away = await reads_and_writes(client, socket, "away")
            await process.until_ready(503)
            assert 200 == (await probes.get("/livez")).status_code
            assert 200 == (await client.get("/me")).status_code
        assert well == await reads_and_writes(client, socket, "after")
        await process.until_ready(200)
    assert [503, 503, AWAY, AWAY] == away


@asynccontextmanager
async def database_of(servers: Servers) -> AsyncIterator[asyncpg.Connection]:
    """Connect to PostgreSQL itself; what is locked is free at the end."""
    connection = await asyncpg.connect(servers.database_url)
    try:
        yield connection
    finally:
        await connection.close()


async def lose(database: asyncpg.Connection, waiting: int) -> None:
    """End the connections of so many who wait for a lock."""
    found: list[int] = []
    async with asyncio.timeout(SECONDS):
        while len(found) < waiting:
            rows = await database.fetch(
                "SELECT pid FROM pg_locks WHERE NOT granted"
            )
            found = [row["pid"] for row in rows]
    await database.execute(
        "SELECT pg_terminate_backend(p, 5000) FROM unnest($1::int[]) AS p",
        found,
    )


@pytest.mark.parametrize(
    ("times", "expected"),
    [(1, [200, RSPCode.OK, 201, RSPCode.OK]), (2, [503, AWAY, 503, AWAY])],
)
async def test_a_connection_is_lost(
    service: Service,
    servers: Servers,
    as_user: AsUser,
    times: int,
    expected: list[int],
) -> None:
    """Who may be repeated is tried once more; other writes fail at once.

    Two equal reads would be one statement.
    """
    headers = as_user("editor")
    async with (
        database_of(servers) as database,
        httpx.AsyncClient(base_url=service.url, headers=headers) as client,
        connect(
            service.ws_url, additional_headers=headers, proxy=None
        ) as reader,
        connect(
            service.ws_url, additional_headers=headers, proxy=None
        ) as writer,
    ):
        lock = database.transaction()
        await lock.start()
        await database.execute("LOCK TABLE author")
        create = partial(client.post, "/authors")
        unkeyed = asyncio.create_task(create(json={"name": "without a key"}))
        key = {"Idempotency-Key": new_id()}
        answers = asyncio.gather(
            client.get("/authors?limit=5"),
            ask(reader, PkgID.GET_AUTHORS),
            create(json={"name": "with a key"}, headers=key),
            ask(writer, PkgID.CREATE_AUTHOR, {"name": "by socket"}),
        )
        await lose(database, 5)
        assert 503 == (await unkeyed).status_code
        for _ in range(times - 1):
            await lose(database, 4)
        await lock.rollback()
        read, reply, answer, made = await answers
        found = [
            *(read.status_code, reply["status_code"]),
            *(answer.status_code, made["status_code"]),
        ]
        assert expected == found
        listed = (await client.get("/authors")).json()["data"]
        names = sorted(author["name"] for author in listed)
    assert (["by socket", "with a key"] if times == 1 else []) == names
    assert sorted(str(author["id"]) for author in listed) == [
        row["resource"] for row in await query(service, CREATED)
    ]


async def test_redis_restarts(
    service: Service, servers: Servers, sign_in: SignIn
) -> None:
    """Pushes are back within two seconds."""
    assert servers.valkey is not None
    async with open_socket(service, sign_in("editor")) as socket:
        async with servers.valkey.away():
            await ask(socket, PkgID.CREATE_AUTHOR, {"name": "away"})
        began = monotonic()
        assert ["away"] == await next_names(socket, 1)
        assert monotonic() - began < BACK_SECONDS


@pytest.fixture
def keycloak(servers: Servers) -> Iterator[Proxy]:
    """A wire to Keycloak that is down."""
    wire = Proxy(servers.keycloak_base_url)
    wire.start()
    wire.stop()
    yield wire
    wire.stop()


async def test_keycloak_comes_later(
    migrated: Servers, keycloak: Proxy, as_user: AsUser
) -> None:
    """A process lives without it, is not ready, and becomes so by itself."""
    environment = {
        **migrated.environment,
        "RATE_LIMIT_ENABLED": "false",
        "KEYCLOAK_BASE_URL": keycloak.url,
        "KEYCLOAK_ISSUER": (
            f"{migrated.keycloak_base_url}/realms/{migrated.realm}"
        ),
    }
    async with (
        started(SERVE, environment) as process,
        httpx.AsyncClient(base_url=process.url) as client,
        httpx.AsyncClient(base_url=process.management_url) as probes,
    ):
        await process.until_ready(503)
        assert 200 == (await probes.get("/livez")).status_code
        answer = await client.get("/me", headers=as_user("reader"))
        assert 503 == answer.status_code
        keycloak.start()
        await process.until_ready(200)
        answer = await client.get("/me", headers=as_user("reader"))
        assert 200 == answer.status_code
