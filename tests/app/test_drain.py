"""A process that is told to end, with requests and messages in flight."""

import asyncio
import json
import re
import signal
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from itertools import pairwise
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from app.api.ws.constants import PkgID
from tests.fixtures.locks import locked_authors, until_waiting
from tests.fixtures.processes import (
    GUNICORN,
    SERVE,
    ServiceProcess,
    StartService,
)
from tests.fixtures.servers import Servers
from tests.fixtures.sockets import ask, request

SignIn = Callable[[str], str]
REASON = re.compile(r"retry_after_ms=\d{1,5}")
DRAIN_SECONDS = 1.0
WAIT_SECONDS = 30


@pytest.fixture
async def database(servers: Servers) -> AsyncIterator[asyncpg.Connection]:
    """A connection that sees what the service stores, and can lock it."""
    connection = await asyncpg.connect(servers.database_url)
    yield connection
    await connection.close()


@asynccontextmanager
async def sockets(
    service: ServiceProcess, token: str, count: int
) -> AsyncIterator[list[ClientConnection]]:
    """Some sockets that have been used."""
    headers = {"Authorization": f"Bearer {token}"}
    async with AsyncExitStack() as stack:
        opened = []
        for _ in range(count):
            connection = connect(
                service.ws_url, additional_headers=headers, proxy=None
            )
            opened.append(await stack.enter_async_context(connection))
            await ask(opened[-1], PkgID.ME)
        yield opened


Farewell = tuple[list[dict[str, Any]], float]


async def farewell(socket: ClientConnection) -> Farewell:
    """Read until 1012; return the replies before it, and when it came."""
    replies: list[dict[str, Any]] = []
    with suppress(ConnectionClosed):
        while True:
            message = json.loads(await socket.recv())
            if UUID(message["req_id"]).int:  # else it is a push
                replies.append(message)
    match = REASON.fullmatch(socket.close_reason or "")
    assert (1012, True) == (socket.close_code, match is not None)
    return replies, time.monotonic()


def assert_spread(ends: Sequence[Farewell]) -> None:
    """Idle sockets have got no reply, and have not ended together."""
    assert [[]] * len(ends) == [replies for replies, _ in ends]
    times = sorted(end for _, end in ends)
    assert 0.6 * DRAIN_SECONDS < times[-1] - times[0] < 2 * DRAIN_SECONDS
    gaps = [after - before for before, after in pairwise(times)]
    assert max(gaps) < DRAIN_SECONDS / 2


Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def begun_post(
    service: ServiceProcess, token: str
) -> AsyncIterator[Stream]:
    """Send a request whose body is not finished."""
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    writer.write(
        b"POST /authors HTTP/1.1\r\nHost: x\r\nContent-Length: 15\r\n"
        b"Content-Type: application/json\r\n"
        b"Authorization: Bearer " + token.encode() + b'\r\n\r\n{"name"'
    )
    try:
        yield reader, writer
    finally:
        writer.close()


async def refused(service: ServiceProcess) -> tuple[int, str | None]:
    """Try to open a socket, and return status and Retry-After."""
    with pytest.raises(InvalidStatus) as refusal:
        async with connect(service.ws_url, proxy=None):
            pass
    response = refusal.value.response
    return response.status_code, response.headers.get("Retry-After")


async def until_closed(service: ServiceProcess) -> None:
    """Wait until the client port takes no connection."""
    async with asyncio.timeout(5):
        while True:
            try:
                _, writer = await asyncio.open_connection(
                    "127.0.0.1", service.port
                )
            except ConnectionRefusedError:
                return
            writer.close()
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("command", "number"),
    [(GUNICORN, signal.SIGTERM), (SERVE, signal.SIGINT)],
    ids=["gunicorn", "cli"],
)
async def test_what_was_read_is_answered(
    command: tuple[str, ...],
    number: signal.Signals,
    start_service: StartService,
    sign_in: SignIn,
    database: asyncpg.Connection,
) -> None:
    """Replies and answers in flight arrive; sockets go in waves, with 1012."""
    token = sign_in("editor")
    async with (
        start_service(
            command,
            DRAIN_SECONDS=str(DRAIN_SECONDS),
            DRAIN_WAIT_SECONDS="0.2",
        ) as service,
        sockets(service, token, 12) as (busy, late, *idle),
        begun_post(service, token) as (reader, writer),
        httpx.AsyncClient(base_url=service.url) as client,
        httpx.AsyncClient(base_url=service.management_url) as probes,
    ):
        ends = asyncio.gather(*map(farewell, idle))
        async with locked_authors(database):
            write = request(PkgID.CREATE_AUTHOR, {"name": "Ada"})
            await busy.send(json.dumps(write))
            await until_waiting(database, 1)
            service.signal(number)
            await service.until_ready(503)
            await late.send(
                json.dumps(request(PkgID.CREATE_AUTHOR, {"name": "Late"}))
            )
            assert (503, "2") == await refused(service)
            answer = await client.get("/health")
            assert ("draining", "close") == (
                answer.json()["process"],
                answer.headers["connection"],
            )
            assert [] == (await farewell(late))[0]
        ((reply,), _) = await farewell(busy)
        assert (write["req_id"], 0) == (
            reply["req_id"],
            reply["status_code"],
        )
        assert_spread(await ends)

        await until_closed(service)
        assert 200 == (await probes.get("/livez")).status_code
        assert 503 == (await probes.get("/readyz")).status_code
        writer.write(b': "Bob"}')
        head, body = (await reader.read()).split(b"\r\n\r\n", 1)
        assert head.startswith(b"HTTP/1.1 201 ")
        assert b"connection: close" in head.lower()
        assert "Bob" == json.loads(body)["name"]
        assert 0 == await service.ended()
    names = await database.fetch("SELECT name FROM author ORDER BY name")
    assert ["Ada", "Bob"] == [row["name"] for row in names]


@pytest.mark.parametrize("command", [GUNICORN, SERVE], ids=["gunicorn", "cli"])
async def test_a_second_signal_hurries(
    command: tuple[str, ...],
    start_service: StartService,
    sign_in: SignIn,
    database: asyncpg.Connection,
) -> None:
    """Nothing is waited for any more, and the status is still 0."""
    async with (
        start_service(
            command, DRAIN_WAIT_SECONDS=str(WAIT_SECONDS)
        ) as service,
        sockets(service, sign_in("editor"), 2) as (busy, idle),
        locked_authors(database),
    ):
        write = request(PkgID.CREATE_AUTHOR, {"name": "Ada"})
        await busy.send(json.dumps(write))
        await until_waiting(database, 1)
        service.signal(signal.SIGTERM)
        await service.until_ready(503)
        began = time.monotonic()
        service.signal(signal.SIGTERM)
        await farewell(idle)
        assert 0 == await service.ended()
        assert time.monotonic() - began < WAIT_SECONDS / 2
        with pytest.raises(ConnectionClosed) as closed:
            await busy.recv()
        assert closed.value.rcvd is not None
        assert 1012 == closed.value.rcvd.code
