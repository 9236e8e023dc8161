"""What it costs to push something to many sockets, from asking to sending."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from http import HTTPStatus
from math import ceil
from statistics import median
from typing import Final

from app.api.ws.constants import PkgID
from app.bench.load import Load, loaded
from app.bench.measure import ECHO_ACCEPTS, Servers
from app.bench.rows import CHAIN, ONE_ROW, Row, spread
from app.bench.runner import Comparison, Run, Runner, Subject
from app.bench.target import Target
from app.bench.wire import http_script
from app.constants import WS_MAX_CONNECTIONS_PER_USER
from app.types import Token

_TEXT: Final = "said by the bench to everybody"
_PUSH: Final = {"pkg_id": PkgID.SERVER_NOTICE, "data": {"text": _TEXT}}
_PATIENCE_SECONDS: Final = 10.0


class Audience(Load):
    """Sockets that ask nothing and hear what is pushed.

    Args:
        speaker: A connection that has something pushed to everybody.
    """

    def __init__(self, speaker: Load) -> None:
        super().__init__()
        self._speaker = speaker
        self._said_at = 0.0
        self._heard: list[float] = []
        self._everybody = asyncio.Event()

    def pushed(self, frame: bytes) -> None:
        """Count who has heard it."""
        if _TEXT.encode() not in frame:
            return
        self._heard.append(time.perf_counter() - self._said_at)
        if len(self._heard) == len(self.connections):
            self._everybody.set()

    async def hear(self, seconds: float) -> list[float]:
        """Push one thing after the other; return when each was heard."""
        end = time.perf_counter() + seconds
        waits: list[float] = []
        while time.perf_counter() < end or not waits:
            waits += await self._hear_once()
        return waits

    async def _hear_once(self) -> list[float]:
        self._heard = []
        self._everybody.clear()
        self._said_at = time.perf_counter()
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await self._speaker.ask_in_turn(1, 1)
            await self._everybody.wait()
        return self._heard


async def measure_broadcast(runner: Runner, servers: Servers) -> list[Row]:
    """Compare deliveries with the echo's answers, and the common way's."""
    stage, count = runner.stage, runner.plan.audience
    crowd = stage.crowd.tokens(ceil(count / WS_MAX_CONNECTIONS_PER_USER))
    (speaker,) = stage.crowd.tokens(1, roles=["admin"])
    reader = await stage.token()
    name = f"broadcast, deliveries to {count} sockets"
    ours = _Speech(runner, servers.echo, servers.service, speaker, crowd)
    theirs = _Speech(runner, servers.echo, servers.naive, reader, [reader])
    return [
        await ours.row(
            Row(name, 0, "", must=2.0, aim=2.7), runner.plan.audiences
        ),
        await theirs.row(Row(f"the common way: {name}", 0, ""), 1),
    ]


@dataclass(frozen=True)
class _Speech:
    """Who says something to whom, and on which server.

    What it costs however many there are (the request, the way through
    Postgres and Redis) is measured with one socket, and left out: each time
    anew, as a machine is slow at one time and quick at another.
    """

    runner: Runner
    echo: Target
    target: Target
    speaker: Token
    listeners: Sequence[Token]

    async def row(self, row: Row, audiences: int) -> Row:
        """Return the row, measured with so many audiences in turn."""
        heard = [await self._heard() for _ in range(audiences)]
        request = median(request for request, _ in heard)
        pairs = Comparison([pair for _, some in heard for pair in some])
        costs = [
            self._cost(run, alone) for alone, some in heard for _, run in some
        ]
        ratios = [
            echo.cost / cost
            for (echo, _), cost in zip(pairs.pairs, costs, strict=True)
        ]
        return replace(
            row,
            value=median(ratios),
            unit="x WS echo",
            rises=True,
            note=f"{median(costs):.1f} us a delivery, the echo "
            f"{pairs.echo:.0f}{spread(ratios)}; besides, a broadcast costs "
            f"{request / 1000:.1f} ms: {median(pairs.ratios):.2f} x with it",
        )

    async def _heard(self) -> tuple[float, list[tuple[Run, Run]]]:
        """Return what a broadcast to one costs, and runs with a new audience.

        One audience costs up to twice what the next one does.
        """
        async with self._audience(1) as one:
            runs = await self.runner.rounds(Subject(self.target, one.hear))
        request = median(run.cost for run in runs)
        count = self.runner.plan.audience
        async with self._echoing() as echo, self._audience(count) as many:
            compared = await self.runner.compare(
                Subject(self.echo, echo.saturate),
                Subject(self.target, many.hear),
            )
        return request, compared.pairs

    def _cost(self, run: Run, request: float) -> float:
        """Return what each delivery but the first has cost."""
        count = self.runner.plan.audience
        return (run.cost * count - request) / (count - 1)

    def _echoing(self) -> AbstractAsyncContextManager[Load]:
        script = CHAIN.script(self.speaker)
        echo = replace(script, accepts=ECHO_ACCEPTS["WS"])
        return loaded(self.echo.port, [echo] * self.runner.plan.connections)

    @asynccontextmanager
    async def _audience(self, count: int) -> AsyncIterator[Audience]:
        scripts = [ONE_ROW.script(token) for token in self.listeners]
        speaker = http_script(
            "/broadcast", self.speaker, post=_PUSH, status=HTTPStatus.ACCEPTED
        )
        async with loaded(self.target.port, [speaker]) as one:
            audience = Audience(one)
            try:
                seats = [scripts[i % len(scripts)] for i in range(count)]
                await audience.open(self.target.port, seats)
                await audience.ask_in_turn(count, 1)  # all are let in now
                yield audience
            finally:
                audience.close()
