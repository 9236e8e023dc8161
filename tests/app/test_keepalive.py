"""Pings of many sockets with one timer."""

import asyncio
from collections.abc import Callable
from itertools import pairwise

from app.server.keepalive import Keepalive

SECONDS = 0.05


class Client:
    """A socket whose client answers for a while.

    Args:
        answers: So many pings.
        now: The time.
    """

    def __init__(self, answers: int, now: Callable[[], float]) -> None:
        self.pinged: list[float] = []
        self.pinged_often = asyncio.Event()
        self._answers = answers
        self._now = now

    def ping(self) -> bool:
        """Note when, and go on until there is no answer."""
        self.pinged.append(self._now())
        if len(self.pinged) > 3:
            self.pinged_often.set()
        return len(self.pinged) <= self._answers


async def test_each_is_pinged_in_its_own_time() -> None:
    """Nobody too early, and nobody who did not answer, or has left."""
    loop = asyncio.get_running_loop()
    keepalive = Keepalive(loop, SECONDS)
    steady, silent, leaving = (Client(n, loop.time) for n in (9, 0, 9))
    began = loop.time()
    for client in (steady, silent, leaving):
        keepalive.add(client)
        await asyncio.sleep(SECONDS / 5)
    keepalive.remove(leaving)
    async with asyncio.timeout(10):
        await steady.pinged_often.wait()
    waits = [b - a for a, b in pairwise([began, *steady.pinged])]
    assert min(waits) >= SECONDS * 0.9
    assert (1, 0) == (len(silent.pinged), len(leaving.pinged))


async def test_many_at_the_same_time_stop_nothing() -> None:
    """Others have their turn after each part of them."""
    loop = asyncio.get_running_loop()
    keepalive = Keepalive(loop, SECONDS)
    clients = [Client(0, loop.time) for _ in range(1000)]
    for client in clients:
        keepalive.add(client)
    pinged = [0]
    async with asyncio.timeout(10):
        while pinged[-1] < len(clients):
            await asyncio.sleep(0)
            pinged.append(sum(len(client.pinged) for client in clients))
    assert max(b - a for a, b in pairwise(pinged)) <= 200
    assert len(clients) == pinged[-1]
