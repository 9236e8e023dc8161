"""What lasts as long as the process is not looked through again."""

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection

from app.constants import GC_FULL_AFTER, GC_YOUNG_OBJECTS
from app.utils.garbage import lasting_objects
from tests.fixtures.service import Service
from tests.fixtures.sockets import ask, open_socket

SECONDS = 10
OURS = ("app.", "uvicorn.", "uvloop.", "httptools.")


def test_what_is_there_is_left_out_until_the_block_is_left() -> None:
    """Whoever runs two services in a process finds it as it was."""
    gc.unfreeze()
    before = gc.get_threshold()
    with lasting_objects():
        assert (GC_YOUNG_OBJECTS, before[1], GC_FULL_AFTER) == (
            gc.get_threshold()
        )
        assert 0 < gc.get_freeze_count()
    assert (before, 0) == (gc.get_threshold(), gc.get_freeze_count())


@pytest.fixture
def saved() -> Iterator[list[Any]]:
    """What would be left to look for; it is kept instead."""
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
