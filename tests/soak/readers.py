"""Clients that ask for more at a time than is answered at a time."""

import asyncio
import random

from app.api.ws.constants import PkgID
from app.constants import WS_MAX_IN_FLIGHT
from tests.soak.sockets import Closed, Socket, opened
from tests.soak.stage import Stage

_AT_ONCE = 2 * WS_MAX_IN_FLIGHT
_BATCHES = 30


class Reader:
    """One that sends batches of questions over one socket after the other.

    Args:
        name: Unlike any other's.
        seed: Decides what it asks, and where.
        stage: Where it does it.
        pause: How long it rests between two batches, at most.
    """

    def __init__(
        self, name: str, seed: int, stage: Stage, pause: float
    ) -> None:
        self._name = name
        self._stage = stage
        self._rng = random.Random(f"{seed} {name}")
        self._pause = pause

    async def run(self) -> None:
        """Read until the run is over."""
        while not self._stage.over.is_set():
            url = self._stage.any_url(self._rng)
            try:
                async with opened(self._name, self._stage, url) as socket:
                    await self._read(socket)
            except Closed as closed:
                pause = self._rng.uniform(0, self._pause)
                await asyncio.sleep(closed.seconds or pause)

    async def _read(self, socket: Socket) -> None:
        """Send some batches.

        Raises:
            Closed: The socket has ended before.
        """
        for _ in range(self._rng.randint(1, _BATCHES)):
            if self._stage.over.is_set():
                return
            count = self._rng.randint(1, _AT_ONCE)
            kinds = (PkgID.ME, PkgID.GET_AUTHORS, PkgID.GET_BOOKS)
            ends = await asyncio.gather(
                *(
                    socket.ask(self._rng.choice(kinds), {})
                    for _ in range(count)
                ),
                return_exceptions=True,
            )
            for end in ends:
                if isinstance(end, BaseException):
                    raise end
            await asyncio.sleep(self._rng.uniform(0, self._pause))
