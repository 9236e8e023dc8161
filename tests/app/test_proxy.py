"""The wire that other tests break does break, and mends."""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.fixtures.proxy import Proxy

SECONDS = 0.2
CLIENTS = 20
STOPS = 20
Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _echo(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    try:
        while data := await reader.read(100):
            writer.write(data)
    except OSError:
        pass
    writer.close()


@pytest.fixture
async def server() -> AsyncIterator[str]:
    """A server that says what it hears, by its URL."""
    server = await asyncio.start_server(_echo, "127.0.0.1", 0)
    yield "http://{}:{}".format(*server.sockets[0].getsockname())
    server.close()


@pytest.fixture
def wire(server: str) -> Iterator[Proxy]:
    """A wire to it."""
    proxy = Proxy(server)
    proxy.start()
    yield proxy
    proxy.stop()


@pytest.fixture
async def stream(wire: Proxy) -> AsyncIterator[Stream]:
    """A connection that works."""
    reader, writer = await _connect(wire)
    assert b"a" == await _say(b"a", (reader, writer))
    yield reader, writer
    writer.close()


async def _connect(wire: Proxy) -> Stream:
    host, port = wire.url.removeprefix("http://").split(":")
    return await asyncio.open_connection(host, port)


async def _say(data: bytes, stream: Stream) -> bytes:
    reader, writer = stream
    writer.write(data)
    return await asyncio.wait_for(reader.read(100), 5)


async def test_stop(wire: Proxy, stream: Stream) -> None:
    """Connections end, and new ones are refused until the start."""
    wire.stop()
    assert b"" == await stream[0].read()
    with pytest.raises(ConnectionRefusedError):
        await _connect(wire)
    wire.start()
    new = await _connect(wire)
    assert b"b" == await _say(b"b", new)
    new[1].close()


async def test_reset(wire: Proxy, stream: Stream) -> None:
    """Connections end without a farewell, and new ones are served."""
    wire.reset()
    with pytest.raises(ConnectionResetError):
        await _say(b"b", stream)
    new = await _connect(wire)
    assert b"b" == await _say(b"b", new)
    new[1].close()


async def test_half_close(wire: Proxy, stream: Stream) -> None:
    """There is nothing more to read, and one can go on to write."""
    wire.half_close()
    assert b"" == await _say(b"b", stream)
    assert not stream[1].is_closing()


async def test_swallow(wire: Proxy, stream: Stream) -> None:
    """Nothing comes before the release, then all of it does."""
    wire.swallow()
    answer = asyncio.create_task(_say(b"b", stream))
    done, _ = await asyncio.wait({answer}, timeout=SECONDS)
    assert set() == done
    wire.release()
    assert b"b" == await answer


async def test_slow(wire: Proxy, stream: Stream) -> None:
    """Everything takes its time, both ways, until the release."""
    wire.slow(SECONDS)
    began = time.monotonic()
    assert b"b" == await _say(b"b", stream)
    assert time.monotonic() - began >= 2 * SECONDS
    wire.release()
    assert b"c" == await _say(b"c", stream)


async def test_a_stop_forgets_no_client_that_is_just_accepted(
    server: str,
) -> None:
    """Python tells of each connection that nobody has closed."""
    wire = Proxy(server)
    for _ in range(STOPS):
        await asyncio.to_thread(wire.start)
        clients = [asyncio.create_task(_connect(wire)) for _ in range(CLIENTS)]
        await asyncio.sleep(0)
        await asyncio.to_thread(wire.stop)
        for found in await asyncio.gather(*clients, return_exceptions=True):
            if not isinstance(found, BaseException):
                found[1].close()
    gc.collect()
