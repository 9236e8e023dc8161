"""Pushes under a server that is not ours, as `uvicorn app:application`."""

import asyncio
import json
from collections.abc import Callable
from typing import Any
from weakref import ref

import pytest
from starlette.types import Message
from websockets.frames import Frame, Opcode

from app.api.ws.constants import CloseCode, PkgID
from app.api.ws.send_queue import SendQueue
from app.managers.outlet import Outlet
from tests.fixtures import service as services
from tests.fixtures.pushes import next_names
from tests.fixtures.service import MakeService
from tests.fixtures.sockets import ask, open_socket, request


class Client:
    """The other end of `send`: it reads when it is let."""

    def __init__(self) -> None:
        self.reads = asyncio.Event()
        self.got: list[Any] = []

    async def send(self, message: Message) -> None:
        """Take a message in."""
        if message["type"] == "websocket.send":
            await self.reads.wait()
        self.got.append(message.get("text", message.get("code")))


def frame(text: str) -> bytes:
    """Make a frame as a push does."""
    return Frame(Opcode.TEXT, text.encode()).serialize(mask=False)


@pytest.mark.parametrize("size", [0, 125, 126, 65535, 65536])
async def test_texts_of_any_length_are_sent_in_order(size: int) -> None:
    """What was a frame is the same text again."""
    client, texts = Client(), ["é" * (size // 2), "x" * size]
    client.reads.set()
    queue = SendQueue(client.send)
    queue.limit(1_000_000)
    for text in texts:
        assert queue.offer(frame(text))
    assert sum(map(len, texts)) == queue.unread_bytes
    await queue.drain()
    assert (texts, 0, 0.0) == (
        client.got,
        queue.unread_bytes,
        queue.stalled_seconds,
    )


async def test_a_client_that_does_not_read_is_closed() -> None:
    """Beyond the bound what is unread is dropped, and nothing is added."""
    client = Client()
    queue = SendQueue(client.send)
    outlet = Outlet(queue, max_bytes=100, max_seconds=60)
    for _ in range(5):
        outlet.write(frame("x" * 50))
    await queue.drain()
    outlet.write(frame("late"))
    assert ([CloseCode.SLOW_READER], 0, False) == (
        client.got,
        queue.unread_bytes,
        queue.is_open,
    )


class Owner:
    """What has a queue, and is told when its client does not read.

    Args:
        queue: The queue.
    """

    lags = 0

    def __init__(self, queue: SendQueue) -> None:
        self.queue = queue
        queue.listen(self)

    def take(self, text: str | None) -> None:
        """Take nothing: this server hands nothing over."""

    def lag(self) -> None:
        """Count it."""
        self.lags += 1


async def test_who_has_the_queue_is_told_and_is_not_kept() -> None:
    """They do not hold each other, so no garbage is left to look for."""
    client = Client()
    owner = Owner(SendQueue(client.send))
    owner.queue.write_soon(frame("unread"))
    owner.queue.write_soon(frame("unread, too"))
    assert 1 == owner.lags
    client.reads.set()
    await owner.queue.drain()
    gone = ref(owner)
    del owner
    assert gone() is None


async def test_pushes_come_under_plain_uvicorn(
    make_service: MakeService,
    sign_in: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A socket has them in order, and what it missed."""
    plain = {"lifespan": "on", "log_config": None}
    monkeypatch.setattr(services, "uvicorn_options", lambda _: plain)
    with make_service() as service:
        async with open_socket(service, sign_in("editor")) as socket:
            for name in ("Ada", "Bob"):
                message = request(PkgID.CREATE_AUTHOR, {"name": name})
                await socket.send(json.dumps(message))
                assert [name] == await next_names(socket, 1)
            data = {"pkg_ids": [PkgID.AUTHORS_CHANGED]}
            at = (await ask(socket, PkgID.SUBSCRIBE, data))["meta"]
            after = {**at, "seq": at["seq"] - 2}
            reply = await ask(
                socket, PkgID.SUBSCRIBE, {**data, "after": after}
            )
            assert {"recovered": True} == reply["data"]
            assert ["Ada", "Bob"] == await next_names(socket, 2)
