"""What is written in one turn of the event loop goes out together."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import uvloop

from app.server.corked import CorkedTransport
from app.server.turn import Turn, turn_of


class Peer(asyncio.Protocol):
    """One end of a connection, and what it has received."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.made = asyncio.Event()
        self.lost = asyncio.Event()
        self.heard = asyncio.Event()
        self.transport: asyncio.Transport

    def connection_made(  # type: ignore[override]  # it is one
        self, transport: asyncio.Transport
    ) -> None:
        """Keep the way back."""
        self.transport = transport
        self.made.set()

    def data_received(self, data: bytes) -> None:
        """Keep what came at a time."""
        self.parts.append(data)
        self.heard.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the end."""
        del exc
        self.lost.set()


Pair = tuple[CorkedTransport, Peer]


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    """A corked end of a connection, and the other one."""
    loop = asyncio.get_running_loop()
    near = Peer()
    server = await loop.create_server(lambda: near, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    _, far = await loop.create_connection(Peer, "127.0.0.1", port)
    await near.made.wait()
    yield CorkedTransport(near.transport, turn_of(loop)), far
    far.transport.abort()
    server.close()


async def test_parts_of_one_turn_arrive_as_one(pair: Pair) -> None:
    """A head and a body are one packet, without waiting for more."""
    corked, far = pair
    corked.write(b"head")
    corked.write(b"body")
    await far.heard.wait()
    assert [b"headbody"] == far.parts


async def test_close_writes_what_is_left(pair: Pair) -> None:
    """Who closes at once loses nothing."""
    corked, far = pair
    corked.write(b"last")
    corked.close()
    await far.lost.wait()
    assert [b"last"] == far.parts


async def test_much_does_not_wait(pair: Pair) -> None:
    """An answer in many parts does not fill the memory."""
    corked, _ = pair
    for _ in range(100):
        corked.write(bytes(10_000))
    assert corked._size <= 65_536


class LongTurn(Turn):
    """A turn that ends when the connection is closed."""

    def at_end(self, finish: Callable[[], None]) -> None:
        """Call a little later."""
        asyncio.get_running_loop().call_later(0.05, finish)


async def _write_and_lose() -> list[dict[str, Any]]:
    """Lose a connection to which something is yet to be written."""
    loop = asyncio.get_running_loop()
    faults: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, fault: faults.append(fault))
    near = Peer()
    server = await loop.create_server(lambda: near, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    _, far = await loop.create_connection(Peer, "127.0.0.1", port)
    await near.made.wait()
    corked = CorkedTransport(near.transport, LongTurn())
    corked.write(b"never")
    near.transport.abort()
    await far.lost.wait()
    done = asyncio.Event()
    loop.call_later(0.1, done.set)
    await done.wait()
    server.close()
    return faults


def test_what_comes_too_late_is_dropped() -> None:
    """Uvloop has nothing to say of a connection that was lost meanwhile."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert [] == runner.run(_write_and_lose())


async def test_a_turn_ends_for_everybody() -> None:
    """One that fails keeps nobody from writing, and is told of."""
    loop = asyncio.get_running_loop()
    faults: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, fault: faults.append(fault))
    turn, done = turn_of(loop), asyncio.Event()
    turn.at_end({}.popitem)  # type: ignore[arg-type]  # its result is nobody's
    turn.at_end(done.set)
    async with asyncio.timeout(1):
        await done.wait()
    assert [KeyError] == [type(fault["exception"]) for fault in faults]
