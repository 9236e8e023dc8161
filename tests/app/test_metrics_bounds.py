"""However much clients make up, there are no more series and no stalls."""

import asyncio
import gc
import json
import random
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from statistics import quantiles
from uuid import uuid4

import httpx
import pytest
from websockets.asyncio.client import connect

from app.utils import metrics
from app.utils.exposition import exposition
from tests.fixtures.processes import SERVE, ServiceProcess, StartService
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


async def test_a_scrape_stalls_nobody() -> None:
    """300 routes and the memory of 10,000 sockets: less than 20 ms."""
    labels = [
        (method, f"/made-up-{number}/{{id}}")
        for number in range(300)
        for method in ("GET", "POST")
    ]
    for method, endpoint in labels:
        metrics.http_request_duration_seconds.labels(method, endpoint)
    sockets = [[{"socket": [n]} for n in range(20)] for _ in range(MANY)]
    gc.collect()
    lags: list[float] = []
    try:
        for _ in range(5):
            scrape = asyncio.create_task(exposition())
            while not scrape.done():
                began = time.perf_counter()
                await asyncio.sleep(0)
                lags.append(time.perf_counter() - began)
            assert 600 * 16 < scrape.result().count(b"\n")
    finally:
        for method, endpoint in labels:
            metrics.http_request_duration_seconds.remove(method, endpoint)
    assert MANY == len(sockets)
    # What other processes take of this machine's time is no stall of ours.
    assert quantiles(lags, n=100)[-1] < STALL_SECONDS
