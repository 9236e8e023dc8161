"""What a socket costs as sockets grow, and what stops the event loop then.

A server on which sockets grow is asked in turn with one that keeps a few, so
that a slower machine is one for both.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from math import ceil
from statistics import median
from typing import Final

from app.bench.crowd import Crowd
from app.bench.inside import Stalls
from app.bench.load import Load, loaded
from app.bench.measure import ECHO_ACCEPTS
from app.bench.rows import CHAIN, NOISE, Row, growth, spread
from app.bench.runner import MICROSECONDS, Runner
from app.bench.target import MakeApp, Target, make_echo, make_service
from app.bench.wire import Script
from app.constants import WS_MAX_CONNECTIONS_PER_USER

_KIB: Final = 1024
_LEAST: Final = 0.5
"""Seconds in which new sockets are let in, and that are watched at least."""


@dataclass(frozen=True)
class _Step:
    """A server with so many sockets: its memory, and its CPU for messages.

    `memory` is in bytes, before any of the last sockets has said anything;
    `quiet` is the part of a core that is used while nobody says anything;
    `costs` are microseconds for a message without that, one for each round,
    and `few` those of the server that keeps a few sockets.
    """

    sockets: int
    memory: int
    quiet: float
    costs: list[float]
    few: list[float]

    @property
    def growth(self) -> list[float]:
        return growth(self.few, self.costs)


class _Open:
    """A server, and the sockets that are open on it.

    Args:
        runner: Runs the loads.
        target: The server.
        load: Its sockets.
    """

    def __init__(self, runner: Runner, target: Target, load: Load) -> None:
        self.target = target
        self.load = load
        self.quiet = 0.0
        self._runner = runner
        self._plan = runner.plan

    async def open(self, scripts: Sequence[Script]) -> None:
        """Open more sockets, and see what they cost while all are silent."""
        await self.load.open(self.target.port, scripts)
        part = len(self.load.connections) / self._plan.sockets[-1]
        seconds = max(_LEAST, part * self._plan.quiet_seconds)
        self.quiet = await _quiet(self.target, seconds)

    async def warm(self) -> None:
        """Ask each socket at least once."""
        messages = max(len(self.load.connections), self._plan.messages // 3)
        await self.load.ask_in_turn(messages, self._plan.connections)

    async def cost(self) -> float:
        """Return microseconds for a message, without those of silence."""
        messages, at_once = self._plan.messages, self._plan.connections
        run = await self._runner.run(
            self.target, lambda: self.load.ask_in_turn(messages, at_once)
        )
        used = run.usage.server - self.quiet * run.usage.seconds
        return used / len(run.waits) * MICROSECONDS


async def measure_sockets(runner: Runner) -> list[Row]:
    """Open a few sockets, then more, on servers that have none yet."""
    counts = runner.plan.sockets
    scripts = _scripts(runner.stage.crowd, counts[0] + counts[-1])
    echoes = [replace(s, accepts=ECHO_ACCEPTS["WS"]) for s in scripts]
    async with (
        _opened(runner, make_echo) as few,
        _opened(runner, make_echo) as many,
    ):
        floor = await _steps(runner, few, many, echoes)
    async with _opened(runner, make_service) as many:
        async with _opened(runner, make_service) as few:
            taken = await _steps(runner, few, many, scripts)
        target, load = many.target, many.load
        spoken = target.memory_bytes
        with runner.watched(target):
            stalls = await Stalls(runner, target, load).measure()
    return [*_rows(taken, floor, spoken), *stalls]


@asynccontextmanager
async def _opened(runner: Runner, make_app: MakeApp) -> AsyncIterator[_Open]:
    async with (
        runner.stage.target(make_app) as target,
        loaded(target.port, []) as load,
    ):
        yield _Open(runner, target, load)


async def _steps(
    runner: Runner, few: _Open, many: _Open, scripts: Sequence[Script]
) -> list[_Step]:
    counts = runner.plan.sockets
    await few.open(scripts[counts[-1] :])
    return [
        await _step(
            runner.plan.rounds,
            few,
            many,
            scripts[len(many.load.connections) : count],
        )
        for count in counts
    ]


def _rows(
    steps: Sequence[_Step], floor: Sequence[_Step], spoken: int
) -> list[Row]:
    first, last = steps[0], steps[-1]
    more = last.sockets - first.sockets
    idle = (last.memory - first.memory) / more / _KIB
    parts = [
        (b.memory - a.memory) / (b.sockets - a.sockets) / _KIB
        for a, b in pairwise(steps)
    ]
    between = f"from {first.sockets:,} to {last.sockets:,}"
    costs = ", ".join(_said(step) for step in steps)
    echoes = ", ".join(_said(step) for step in floor)
    quiet = ", ".join(f"{s.quiet:.3f}" for s in steps)
    return [
        Row(
            "memory of an idle signed-in socket",
            idle,
            "KiB",
            must=32,
            aim=22,
            note=f"{' then '.join(f'{part:.1f}' for part in parts)} as they "
            f"grow {between}; {(spoken - first.memory) / more / _KIB:.1f} "
            "when each has been answered",
        ),
        Row(
            f"a message, as sockets grow {between}",
            median(last.growth) / median(floor[-1].growth),
            "x the echo's growth",
            must=NOISE,
            note=f"{costs}; the echo: {echoes}",
        ),
        Row(
            "CPU of an idle signed-in socket",
            last.quiet / last.sockets * MICROSECONDS,
            "us a second",
            note=f"{quiet} core for all of them and the process itself",
        ),
    ]


def _said(step: _Step) -> str:
    return (
        f"{median(step.costs):.0f} us with {step.sockets:,}, "
        f"{median(step.growth):.3g} x{spread(step.growth)}"
    )


async def _step(
    rounds: int, few: _Open, many: _Open, scripts: Sequence[Script]
) -> _Step:
    await many.open(scripts)
    memory = many.target.memory_bytes
    for server in (few, many):
        await server.warm()
    pairs = [(await few.cost(), await many.cost()) for _ in range(rounds)]
    before, after = (list(costs) for costs in zip(*pairs, strict=True))
    return _Step(len(many.load.connections), memory, many.quiet, after, before)


async def _quiet(target: Target, seconds: float) -> float:
    """Tell what part of a core is used while nobody says anything."""
    await asyncio.sleep(_LEAST)
    before, began = target.cpu_seconds, time.perf_counter()
    await asyncio.sleep(seconds)
    return (target.cpu_seconds - before) / (time.perf_counter() - began)


def _scripts(crowd: Crowd, count: int) -> list[Script]:
    """Say what so many sockets send, each user having a few."""
    tokens = crowd.tokens(ceil(count / WS_MAX_CONNECTIONS_PER_USER))
    users = [CHAIN.script(token) for token in tokens]
    return [users[i % len(users)] for i in range(count)]
