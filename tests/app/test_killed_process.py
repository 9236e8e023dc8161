"""A process that is killed takes nothing with it that was acknowledged."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import asyncpg
import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect

from app.api.ws.constants import PkgID, RSPCode
from app.settings import DatabaseSettings
from tests.fixtures.audit import new_id
from tests.fixtures.locks import locked_authors, until_waiting
from tests.fixtures.processes import ServiceProcess, StartService
from tests.fixtures.proxy import Proxy
from tests.fixtures.pushes import next_names
from tests.fixtures.servers import Servers
from tests.fixtures.service import AsUser
from tests.fixtures.sockets import next_reply, request

SignIn = Callable[[str], str]
REDIS_DB = "7"
SECONDS = 10


@pytest.fixture
async def connection(
    database_settings: DatabaseSettings,
) -> AsyncIterator[asyncpg.Connection]:
    """A connection to the processes' database, which is this test's own."""
    asking = await asyncpg.connect(url_of(database_settings))
    yield asking
    await asking.close()


Start = Callable[..., Any]


@pytest.fixture
async def start(
    start_service: StartService, database_settings: DatabaseSettings
) -> AsyncIterator[Callable[..., Any]]:
    """A function that starts a process; all run until the test ends."""
    async with AsyncExitStack() as stack:

        async def started(**overrides: str) -> ServiceProcess:
            settings = {
                "DATABASE_URL": url_of(database_settings),
                "MAIN_REDIS_DB": REDIS_DB,
                **overrides,
            }
            return await stack.enter_async_context(start_service(**settings))

        yield started


def url_of(settings: DatabaseSettings) -> str:
    """Return where the database is."""
    assert settings.database_url is not None
    return settings.database_url.get_secret_value()


async def kill(process: ServiceProcess) -> None:
    """Kill master and worker, and wait until they are gone."""
    os.killpg(process.process.pid, signal.SIGKILL)
    assert -signal.SIGKILL == await process.ended()


@asynccontextmanager
async def open_socket(
    url: str, sign_in: SignIn
) -> AsyncIterator[ClientConnection]:
    """Open a socket of an editor."""
    headers = {"Authorization": f"Bearer {sign_in('editor')}"}
    async with connect(url, additional_headers=headers, proxy=None) as socket:
        yield socket


async def answers(
    process: ServiceProcess, message: str, sign_in: SignIn
) -> list[dict[str, Any]]:
    """Send a message twice, and return both replies."""
    async with open_socket(process.ws_url, sign_in) as socket:
        replies = []
        for _ in range(2):
            await socket.send(message)
            replies.append(await next_reply(socket))
        return replies


async def until(
    connection: asyncpg.Connection, query: str, expected: object
) -> None:
    """Wait until a query finds this value."""
    async with asyncio.timeout(SECONDS):
        while expected != await connection.fetchval(query):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def stored(connection: asyncpg.Connection, req_id: str) -> list[Any]:
    """Return all authors, and the outcomes of a request's audit rows."""
    authors = await connection.fetch("SELECT name FROM author ORDER BY name")
    rows = await connection.fetch(
        "SELECT outcome FROM user_action WHERE req_id = $1", req_id
    )
    return [[r["name"] for r in authors], [r["outcome"] for r in rows]]


async def test_killed_before_the_commit(
    start: Start, connection: asyncpg.Connection, sign_in: SignIn
) -> None:
    """Who asks again is the first to write, and is answered so."""
    killed, other = await asyncio.gather(start(), start())
    write = request(PkgID.CREATE_AUTHOR, {"name": "Ada"})
    message = json.dumps(write)
    async with open_socket(killed.ws_url, sign_in) as socket:
        async with locked_authors(connection):
            await socket.send(message)
            await until_waiting(connection, 1)
            await kill(killed)
        first, second = await answers(other, message, sign_in)
    assert (RSPCode.OK, "Ada") == (first["status_code"], first["data"]["name"])
    assert first == second
    assert [["Ada"], ["success"]] == await stored(connection, write["req_id"])


async def test_killed_after_the_commit(
    start: Start, connection: asyncpg.Connection, sign_in: SignIn
) -> None:
    """Who has not heard the answer asks again, and hears that one."""
    killed, other = await asyncio.gather(start(), start())
    write = request(PkgID.CREATE_AUTHOR, {"name": "Ada"})
    message = json.dumps(write)
    wire = Proxy(killed.url)
    wire.start()
    async with open_socket(wire.via(killed.ws_url), sign_in) as socket:
        wire.swallow_answers()
        await socket.send(message)
        await until(connection, "SELECT count(*) FROM author", 1)
        await kill(killed)
        wire.stop()
    first, second = await answers(other, message, sign_in)
    number = await connection.fetchval("SELECT id FROM author")
    assert {"id": number, "name": "Ada"} == first["data"]
    assert first == second
    assert [["Ada"], ["success"]] == await stored(connection, write["req_id"])


async def test_killed_with_a_full_audit_queue(
    start: Start,
    connection: asyncpg.Connection,
    as_user: AsUser,
) -> None:
    """Every write has its row; of reads at most the last second's are lost."""
    process = await start(
        AUDIT_BATCH_SIZE="10000",
        AUDIT_BATCH_TIMEOUT_SECONDS="1",
        AUDIT_QUEUE_MAX_SIZE="20",
    )
    early, late = new_id(), new_id()
    writes = [new_id() for _ in range(5)]
    count = "SELECT count(*) FROM user_action WHERE req_id = '{}'"
    async with httpx.AsyncClient(
        base_url=process.url, headers=as_user("editor")
    ) as client:

        async def read(req_id: str) -> None:
            headers = {"X-Request-ID": req_id}
            (await client.get("/me", headers=headers)).raise_for_status()

        await asyncio.gather(*(read(early) for _ in range(10)))
        await until(connection, count.format(early), 10)
        while not await lost_rows(process):
            await asyncio.gather(*(read(late) for _ in range(40)))
        for req_id in writes:
            answer = await client.post(
                "/authors",
                json={"name": req_id},
                headers={"X-Request-ID": req_id},
            )
            answer.raise_for_status()
        await kill(process)
    rows = await connection.fetch(
        "SELECT req_id, count(*) FROM user_action WHERE req_id <> $1"
        " GROUP BY req_id",
        late,
    )
    expected = {early: 10} | dict.fromkeys(writes, 1)
    assert expected == {row["req_id"]: row["count"] for row in rows}


async def lost_rows(process: ServiceProcess) -> float:
    """Return how many rows the process says that it had no room for."""
    async with httpx.AsyncClient(base_url=process.management_url) as client:
        text = (await client.get("/metrics")).text
    (line,) = (
        line
        for line in text.splitlines()
        if line.startswith("audit_dropped_total ")
    )
    return float(line.rpartition(" ")[2])


async def test_killed_between_commit_and_publishing(
    start: Start,
    connection: asyncpg.Connection,
    servers: Servers,
    sign_in: SignIn,
    as_user: AsUser,
) -> None:
    """Its event is pushed by another process, once and before later ones."""
    wires = [Proxy(servers.redis_url) for _ in range(2)]
    for wire in wires:
        wire.start()
    killed, other = await asyncio.gather(
        *(start(REDIS_URL=wire.via(servers.redis_url)) for wire in wires)
    )
    async with open_socket(other.ws_url, sign_in) as socket:
        for wire in wires:
            wire.swallow()
        await post(killed, as_user, "left behind")
        await kill(killed)
        events = "SELECT count(*) FROM outbox"
        assert 1 == await connection.fetchval(events)
        wires[1].release()
        assert ["left behind"] == await next_names(socket, 1)
        await post(other, as_user, "later")
        assert ["later"] == await next_names(socket, 1)
        await until(connection, events, 0)
    for wire in wires:
        wire.stop()


async def post(process: ServiceProcess, as_user: AsUser, name: str) -> None:
    """Create an author over HTTP."""
    async with httpx.AsyncClient(headers=as_user("editor")) as client:
        answer = await client.post(
            f"{process.url}/authors", json={"name": name}
        )
        answer.raise_for_status()
