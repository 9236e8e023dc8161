"""A client that stops to read harms nobody but itself."""

import asyncio
import socket as sockets
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from app.api.ws.constants import CloseCode, PkgID
from app.server.frames import FrameWire
from app.server.websocket import WebSocketProtocol
from app.utils.frames import text_frame
from tests.fixtures.pushes import next_pushes
from tests.fixtures.service import AsUser, MakeService, Service
from tests.fixtures.sockets import DEADLINE_SECONDS, open_socket
from tests.fixtures.wires import only_wire

SignIn = Callable[[str], str]
NOTICE = {PkgID.SERVER_NOTICE}
TEXT = "x" * 60_000
ROUNDS = 100
TRIES = 5


@pytest.fixture(scope="module")
def bounded(make_service: MakeService) -> Iterator[Service]:
    """A service whose sockets may leave little unread."""
    with make_service(ws_send_queue_max_bytes=200_000) as service:
        yield service


@pytest.fixture(scope="module")
def impatient(make_service: MakeService) -> Iterator[Service]:
    """A service whose sockets may leave much unread for a short time."""
    with make_service(
        ws_send_queue_max_bytes=10**9, ws_send_queue_max_seconds=0.2
    ) as service:
        yield service


def narrow_socket(service: Service) -> sockets.socket:
    """Connect with a window that fills soon."""
    client = sockets.socket()
    client.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 65536)
    client.connect(("127.0.0.1", service.port))
    client.setblocking(False)
    return client


async def broadcast(client: httpx.AsyncClient, **users: Any) -> None:
    """Push much."""
    body = {"pkg_id": PkgID.SERVER_NOTICE, "data": {"text": TEXT}, **users}
    answer = await client.post("/broadcast", json=body)
    answer.raise_for_status()


@asynccontextmanager
async def sent_away(
    service: Service, client: httpx.AsyncClient, token: str
) -> AsyncIterator[ClientConnection]:
    """A socket that reads nothing, and was closed for it."""
    async with open_socket(
        service, token, sock=narrow_socket(service)
    ) as slow:
        slow.transport.pause_reading()
        async with asyncio.timeout(DEADLINE_SECONDS):
            while len(service.container.sockets):
                await broadcast(client)
        yield slow


async def read_until_closed(socket: ClientConnection) -> int | None:
    """Read on, and say how the socket was closed."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while True:
            try:
                await socket.recv()
            except ConnectionClosed:
                return socket.close_code


async def latencies(
    client: httpx.AsyncClient, reader: ClientConnection
) -> list[float]:
    """Say how long each of many broadcasts takes to a socket."""
    found = []
    for _ in range(ROUNDS):
        began = perf_counter()
        await broadcast(client)
        await next_pushes(reader, 1, NOTICE)
        found.append(perf_counter() - began)
    return sorted(found)


async def test_a_slow_reader_slows_nobody(
    bounded: Service, sign_in: SignIn, as_user: AsUser
) -> None:
    """It is closed, and others' p99 is less than twice what it was.

    The best of a few tries counts: the machine's own noise comes and goes.
    """
    ratios: list[float] = []
    async with (
        httpx.AsyncClient(
            base_url=bounded.url, headers=as_user("admin")
        ) as client,
        open_socket(bounded, sign_in("editor")) as reader,
    ):
        while len(ratios) < TRIES and (not ratios or ratios[-1] >= 2):
            alone = await latencies(client, reader)
            async with open_socket(
                bounded, sign_in("reader"), sock=narrow_socket(bounded)
            ) as slow:
                slow.transport.pause_reading()
                beside = await latencies(client, reader)
                assert 1 == len(bounded.container.sockets)
                slow.transport.abort()
            ratios.append(beside[-2] / alone[-2])
    assert min(ratios) < 2


@pytest.mark.parametrize("name", ["bounded", "impatient"])
async def test_a_slow_reader_is_told_why_it_is_closed(
    request: pytest.FixtureRequest,
    sign_in: SignIn,
    as_user: AsUser,
    name: str,
) -> None:
    """Too much unread, or for too long, closes with 4508."""
    service: Service = request.getfixturevalue(name)
    async with (
        httpx.AsyncClient(
            base_url=service.url, headers=as_user("admin")
        ) as client,
        sent_away(service, client, sign_in("reader")) as slow,
    ):
        slow.transport.resume_reading()
        assert CloseCode.SLOW_READER == await read_until_closed(slow)
        text = (await client.get("/metrics")).text
    assert 'ws_close_total{code="4508"}' in text


async def test_it_is_told_why_however_late_it_reads_on(
    bounded: Service,
    sign_in: SignIn,
    as_user: AsUser,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What it has not read is in front of the close frame, and takes longer.

    It reads on when others, who have nothing else to read, are cut off.
    """
    monkeypatch.setattr(WebSocketProtocol, "linger_seconds", 0.2)
    async with (
        httpx.AsyncClient(
            base_url=bounded.url, headers=as_user("admin")
        ) as client,
        sent_away(bounded, client, sign_in("reader")) as slow,
    ):
        await asyncio.sleep(1)
        slow.transport.resume_reading()
        assert CloseCode.SLOW_READER == await read_until_closed(slow)


async def test_nothing_is_sent_behind_a_close_frame(
    service: Service, sign_in: SignIn
) -> None:
    """A wire knows at once that its socket is closed."""
    was_open: list[bool] = []

    def close(wire: FrameWire) -> None:
        was_open.append(wire.is_open)
        wire.cut(CloseCode.SLOW_READER, "too slow")
        was_open.append(wire.is_open)

    async with open_socket(service, sign_in("reader")) as client:
        wire = await only_wire(service, client)
        wire._protocol.loop.call_soon_threadsafe(close, wire)
        assert CloseCode.SLOW_READER == await read_until_closed(client)
    assert [True, False] == was_open


async def test_nothing_is_sent_on_a_connection_that_broke(
    service: Service, sign_in: SignIn
) -> None:
    """A wire knows that, too, though there was no close frame."""
    async with open_socket(service, sign_in("reader")) as client:
        wire = await only_wire(service, client)
        assert wire.is_open
        client.transport.abort()
        async with asyncio.timeout(DEADLINE_SECONDS):
            while wire.is_open:  # noqa: ASYNC110  (a deadline bounds it)
                await asyncio.sleep(0.01)
        wire.limit(1000)  # as for a client that leaves while it is let in
        assert wire.offer(b"")


async def test_however_little_may_be_unread_it_is_no_more(
    bounded: Service, sign_in: SignIn
) -> None:
    """Also where it is less than what a connection takes before it says so."""
    frame, most = text_frame(b"x" * 1000), 10_000
    found: list[int] = []

    def fill(wire: FrameWire) -> None:
        wire.limit(most)
        while wire.offer(frame):
            found.append(wire.unread_bytes)

    async with open_socket(
        bounded, sign_in("reader"), sock=narrow_socket(bounded)
    ) as client:
        wire = await only_wire(bounded, client)
        client.transport.pause_reading()
        wire._protocol.loop.call_soon_threadsafe(fill, wire)
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not found or found[-1] <= most:  # noqa: ASYNC110  (bounded)
                await asyncio.sleep(0.01)
        assert wire.is_stalled
        client.transport.abort()
    assert max(found) <= most + len(frame)


async def test_what_nobody_could_read_yet_is_not_held_against_him(
    service: Service, sign_in: SignIn
) -> None:
    """Answers of this turn go out before a push is refused because of them."""
    answer, found = text_frame(b"x" * 2000), asyncio.Queue[bool]()
    here = asyncio.get_running_loop()

    def fill(wire: FrameWire) -> None:
        wire.limit(1000)
        wire.write_soon(answer)
        is_sent = wire.offer(text_frame(b"{}"))
        here.call_soon_threadsafe(found.put_nowait, is_sent)

    async with open_socket(service, sign_in("reader")) as client:
        wire = await only_wire(service, client)
        wire._protocol.loop.call_soon_threadsafe(fill, wire)
        async with asyncio.timeout(DEADLINE_SECONDS):
            assert await found.get()
            assert ["x" * 2000, "{}"] == [await client.recv() for _ in "12"]
