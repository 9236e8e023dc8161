"""However much clients make up, there are no more series and no stalls."""

import asyncio
import json
import random
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import suppress
from uuid import uuid4

import httpx
import pytest
from websockets.asyncio.client import connect

from app.dev.config import ROOT
from tests.fixtures.processes import SERVE, ServiceProcess, StartService
from tests.fixtures.servers import Servers
from tests.fixtures.service import AsUser

MANY = 10_000
# What llhttp lets through, and what it doesn't.
METHODS = (
    *("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE"),
    *("PROPFIND", "LINK", "M-SEARCH", "PURGE", "SUBSCRIBE", "MADEUP"),
)
STALL_SECONDS = 0.020


@pytest.fixture
async def process(
    start_service: StartService,
) -> AsyncIterator[ServiceProcess]:
    """A service of its own process."""
    async with start_service(SERVE, LOG_LEVEL="WARNING") as process:
        yield process


async def series(process: ServiceProcess) -> set[str]:
    """Return every series of a service, without values."""
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"{process.management_url}/metrics")
    lines = answer.raise_for_status().text.splitlines()
    return {line.rpartition(" ")[0] for line in lines if line[0] != "#"}


def made_up(chance: random.Random) -> str:
    """Make a path that nobody has asked for, below a route or not."""
    start = chance.choice(["", "/authors", "/books", "/authors/1", "/docs"])
    return f"{start}/{chance.randbytes(8).hex()}"


async def send(port: int, method: str, paths: list[str]) -> None:
    """Send requests with raw bytes, each answered before the next."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for path in paths:
        request = f"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n"
        writer.write(request.encode())
        head = await reader.readuntil(b"\r\n\r\n")
        length = head.lower().partition(b"content-length: ")[2].split()[0]
        if method != "HEAD":
            await reader.readexactly(int(length))
        if b"connection: close" in head.lower():
            break
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


async def send_messages(
    process: ServiceProcess, headers: dict[str, str], pkg_ids: list[int]
) -> None:
    """Send messages, each answered before the next."""
    async with connect(
        process.ws_url, additional_headers=headers, proxy=None
    ) as socket:
        for pkg_id in pkg_ids:
            message = {"pkg_id": pkg_id, "req_id": str(uuid4()), "data": {}}
            await socket.send(json.dumps(message))
            await socket.recv()


async def test_made_up_requests_add_no_series(
    process: ServiceProcess, as_user: AsUser
) -> None:
    """10,000 random paths, methods and messages are counted as unknown."""
    chance = random.Random(1)
    headers = as_user("reader")
    paths = [made_up(chance) for _ in range(MANY)]
    share = MANY // len(METHODS) + 1
    for method in METHODS:
        await send(process.port, method, paths[:100])
    await send_messages(process, headers, [999])
    await series(process)
    before = await series(process)
    for number, method in enumerate(METHODS):
        mine = paths[number * share : (number + 1) * share]
        await send(process.port, method, mine)
    pkg_ids = [chance.randrange(100, 2**62) for _ in range(MANY)]
    await send_messages(process, headers, pkg_ids)
    assert before == await series(process)


async def test_a_scrape_stalls_nobody(migrated: Servers) -> None:
    """With 300 routes and 10,000 sockets no turn of the loop takes 20 ms."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.fixtures.crowded"),
        env={
            **migrated.environment,
            "ACCESS_LOG_ENABLED": "false",
            "LOG_LEVEL": "ERROR",
            "RATE_LIMIT_ENABLED": "false",
        },
        cwd=ROOT,
        stdout=PIPE,
    )
    said, _ = await process.communicate()
    found = json.loads(said)
    lines = found["metrics"].splitlines()
    routes = {line for line in lines if 'endpoint="/made-up-' in line}
    assert "ws_connections_active 10000.0" in lines
    assert 300 * 2 * (1 + 4 + 16) == len(routes)
    assert found["longest_seconds"] < STALL_SECONDS
