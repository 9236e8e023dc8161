"""A client that reads nothing does not keep its connection."""

import asyncio
import socket
from collections.abc import Callable, Iterator

import pytest

from app import constants
from app.server import corked
from app.server.http import HTTPProtocol
from app.server.websocket import WebSocketProtocol
from tests.fixtures.service import MakeService, Service

SECONDS = 15
HANDSHAKE = (
    b"GET /web HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
)
PINGS = (b"\x89\xfd" + bytes(4) + bytes(125)) * 200
CLOSE = b"\x88\x82" + bytes(4) + (1000).to_bytes(2)
DOCUMENT = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"
LAST = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


@pytest.fixture
def hasty(
    make_service: MakeService, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Service]:
    """A service without patience."""
    monkeypatch.setattr(constants, "UNREAD_SECONDS", 0.5)
    monkeypatch.setattr(corked, "UNREAD_SECONDS", 0.5)
    monkeypatch.setattr(WebSocketProtocol, "linger_seconds", 0.5)
    monkeypatch.setattr(constants, "WS_AUTH_TIMEOUT_SECONDS", 1.0)
    with make_service(rate_limit_enabled=False) as service:
        yield service


@pytest.fixture
def mute(hasty: Service) -> Iterator[socket.socket]:
    """A connection with little room for answers, which nobody reads."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(SECONDS)
        client.connect(("127.0.0.1", hasty.port))
        yield client


async def fill(client: socket.socket, full: Callable[[], bool]) -> None:
    """Send pings until their answers have no room."""
    client.sendall(HANDSHAKE)
    assert client.recv(12) == b"HTTP/1.1 101"
    async with asyncio.timeout(SECONDS):
        while not full():
            client.sendall(PINGS)
            await asyncio.sleep(0.005)


async def until_gone(service: Service) -> None:
    """Wait until the service has no connection."""
    async with asyncio.timeout(SECONDS):
        while service.server.server_state.connections:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_who_says_goodbye_and_reads_nothing(
    hasty: Service, mute: socket.socket
) -> None:
    """His answers are dropped."""
    (connection,) = await _filled(hasty, mute)
    mute.sendall(CLOSE)
    await until_gone(hasty)
    assert connection.disconnected


async def test_who_is_sent_away_and_reads_nothing(
    hasty: Service, mute: socket.socket
) -> None:
    """He did not sign in; that he is not told of it is his affair."""
    (connection,) = await _filled(hasty, mute)
    connection.close_timeout = 0.5
    await until_gone(hasty)


@pytest.mark.parametrize("last", [LAST, b""])
async def test_who_asks_and_reads_nothing(
    hasty: Service, mute: socket.socket, last: bytes
) -> None:
    """His request is not answered for ever."""
    mute.sendall(DOCUMENT * 60 + last)
    async with asyncio.timeout(SECONDS):
        while not unread(hasty):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await until_gone(hasty)


async def test_who_reads_slowly_gets_it_all(
    hasty: Service, mute: socket.socket
) -> None:
    """However long that takes: each answer waits longer than patience lasts.

    The kernel has little room at either end, so that each byte read is seen.
    """
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(SECONDS):
        while not (  # noqa: ASYNC110
            there := list(hasty.server.server_state.connections)
        ):
            await asyncio.sleep(0.01)
    wire = there[0].transport.get_extra_info("socket")
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    mute.sendall(DOCUMENT + LAST)
    mute.setblocking(False)
    got, began = bytearray(), loop.time()
    async with asyncio.timeout(4 * SECONDS):
        while part := await loop.sock_recv(mute, 2048):
            got += part
            await asyncio.sleep(0.05)
    assert got.count(b"HTTP/1.1 200 OK") == 2
    assert got.endswith(b"}")
    assert loop.time() - began > 4 * constants.UNREAD_SECONDS


async def _filled(
    service: Service, client: socket.socket
) -> list[WebSocketProtocol]:
    await fill(client, lambda: bool(unread(service)))
    return [
        connection
        for connection in service.server.server_state.connections
        if isinstance(connection, WebSocketProtocol)
    ]


def unread(service: Service) -> int:
    """How many bytes wait here for their readers."""
    return sum(
        connection.transport.get_write_buffer_size()
        for connection in list(service.server.server_state.connections)
        if isinstance(connection, HTTPProtocol | WebSocketProtocol)
    )
