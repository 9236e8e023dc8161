"""When garbage is looked for, and that a connection leaves none."""

import asyncio
import gc
import sys
import time
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection

from app.tasks.garbage import collect_garbage
from tests.fixtures.service import Service
from tests.fixtures.sockets import ask, open_socket

SECONDS = 10
ENDLESS = 1000.0
OURS = ("app.", "uvicorn.", "uvloop.", "httptools.")


class Knot:
    """Refers to itself, so nobody but the collector lets go of it."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
async def collect() -> AsyncIterator[Callable[[float], None]]:
    """Start the task, with this growth until everything is looked through."""
    tasks = []

    def start(growth: float) -> None:
        tasks.append(asyncio.create_task(collect_garbage(0.005, growth)))

    yield start
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_what_is_garbage_soon_is_found_soon(
    collect: Callable[[float], None],
) -> None:
    """It is found among what is new."""
    collect(ENDLESS)
    await asyncio.sleep(0)
    knot = weakref.ref(Knot())
    assert knot() is not None
    async with asyncio.timeout(SECONDS):
        while knot() is not None:  # noqa: ASYNC110  (a deadline bounds it)
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("growth", "is_found"), [(ENDLESS, False), (0.01, True)]
)
async def test_what_is_old_waits_until_memory_has_grown(
    collect: Callable[[float], None], growth: float, is_found: bool
) -> None:
    """What was seen in use is found by the look through everything."""
    collect(growth)
    await asyncio.sleep(0.2)
    old = Knot()
    knot = weakref.ref(old)
    await asyncio.sleep(0.2)
    del old
    await asyncio.sleep(0.2)
    assert knot() is not None
    more: list[list[Any]] = [[] for _ in range(sys.getallocatedblocks() // 50)]
    await asyncio.sleep(0.5)
    assert is_found == (knot() is None)
    assert more


async def test_what_has_grown_is_told_from_the_least(
    collect: Callable[[float], None],
) -> None:
    """Memory that was in use for a while is no room for garbage."""
    while_busy: list[list[Any]] = [[] for _ in range(200_000)]
    collect(0.05)
    old = Knot()
    await asyncio.sleep(0.2)
    knot = weakref.ref(old)
    del old, while_busy
    await asyncio.sleep(0.3)
    assert knot() is not None
    part = sys.getallocatedblocks() // 10
    more: list[list[Any]] = [[] for _ in range(min(part, 150_000))]
    await asyncio.sleep(0.5)
    assert knot() is None
    assert more


async def test_python_looks_by_itself_again_afterwards(
    collect: Callable[[float], None],
) -> None:
    """Whoever runs a service in his process finds it as it was."""
    collect(ENDLESS)
    await asyncio.sleep(0.05)
    assert not gc.isenabled()
    assert gc.get_freeze_count()
    (task,) = (t for t in asyncio.all_tasks() if "collect" in repr(t))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert gc.isenabled()
    assert not gc.get_freeze_count()


@pytest.fixture
def saved() -> Iterator[list[Any]]:
    """What would be left to look for; it is kept instead."""
    gc.unfreeze()
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    gc.garbage.clear()
    yield gc.garbage
    gc.set_debug(0)
    gc.garbage.clear()
    gc.enable()


def kinds(garbage: list[Any]) -> set[str]:
    """The server's own kinds of objects among them."""
    gc.unfreeze()
    gc.collect()
    names = {f"{type(x).__module__}.{type(x).__name__}" for x in garbage}
    return {name for name in names if name.startswith(OURS)}


async def until_gone(service: Service) -> None:
    """Wait until the service has noticed that nobody is there any more."""
    state = service.server.server_state
    deadline = time.monotonic() + SECONDS
    while state.connections or state.tasks:
        assert time.monotonic() < deadline
        await asyncio.sleep(0)


async def closed(socket: ClientConnection) -> None:
    """Leave as one should."""
    await socket.close()


async def aborted(socket: ClientConnection) -> None:
    """Leave without a word."""
    socket.transport.abort()


@pytest.mark.parametrize("leave", [closed, aborted])
async def test_a_socket_that_has_gone_leaves_no_garbage(
    service: Service,
    sign_in: Callable[[str], str],
    saved: list[Any],
    leave: Callable[[ClientConnection], Awaitable[None]],
) -> None:
    """Nothing of it refers to itself, so its memory is free at once."""
    for _ in range(3):
        async with open_socket(service, sign_in("reader")) as socket:
            await ask(socket, 1, {"limit": 1})
            await leave(socket)
    await until_gone(service)
    assert set() == kinds(saved)


async def test_a_connection_that_has_gone_leaves_no_garbage(
    service: Service, saved: list[Any]
) -> None:
    """The same is true of HTTP."""
    for _ in range(3):
        async with httpx.AsyncClient() as client:
            for path in ("/livez", "/me", "/livez"):
                await client.get(service.url + path)
    await until_gone(service)
    assert set() == kinds(saved)
