"""What a socket costs as sockets grow, and what stops the event loop then."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import ceil
from statistics import median
from typing import Final

from app.bench.crowd import Crowd
from app.bench.inside import Stalls
from app.bench.load import Load, loaded
from app.bench.measure import ECHO_ACCEPTS
from app.bench.rows import CHAIN, NOISE, Row, spread
from app.bench.runner import MICROSECONDS, Runner
from app.bench.target import Target, make_echo, make_service
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
    `costs` are microseconds for a message without that, one for each round.
    """

    sockets: int
    memory: int
    quiet: float
    costs: list[float]

    @property
    def cost(self) -> float:
        return median(self.costs)


async def measure_sockets(runner: Runner) -> list[Row]:
    """Open a few sockets, then more, on servers that have none yet."""
    scripts = _scripts(runner.stage.crowd, runner.plan.sockets[-1])
    echoes = [replace(s, accepts=ECHO_ACCEPTS["WS"]) for s in scripts]
    async with (
        runner.stage.target(make_echo) as target,
        loaded(target.port, []) as load,
    ):
        floor = await _steps(runner, target, load, echoes)
    async with (
        runner.stage.target(make_service) as target,
        loaded(target.port, []) as load,
    ):
        taken = await _steps(runner, target, load, scripts)
        spoken = target.memory_bytes
        with runner.watched(target):
            stalls = await Stalls(runner, target, load).measure()
    return [*_growth(taken, floor, spoken), *stalls]


async def _steps(
    runner: Runner, target: Target, load: Load, scripts: Sequence[Script]
) -> list[_Step]:
    return [
        await _step(runner, target, load, scripts[len(load.connections) : n])
        for n in runner.plan.sockets
    ]


def _growth(
    steps: Sequence[_Step], floor: Sequence[_Step], spoken: int
) -> list[Row]:
    first, last = steps[0], steps[-1]
    least = floor[-1].cost / floor[0].cost
    more = last.sockets - first.sockets
    idle = (last.memory - first.memory) / more / _KIB
    parts = [
        (b.memory - a.memory) / (b.sockets - a.sockets) / _KIB
        for a, b in pairwise(steps)
    ]
    between = f"from {first.sockets:,} to {last.sockets:,}"
    costs = ", ".join(f"{s.cost:.0f}{spread(s.costs)}" for s in steps)
    echoes = ", ".join(f"{s.cost:.0f}" for s in floor)
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
            last.cost / first.cost,
            "x",
            must=NOISE,
            note=f"{costs} us; the echo's grows {least:.3g} x: {echoes} us",
        ),
        Row(
            "CPU of an idle signed-in socket",
            last.quiet / last.sockets * MICROSECONDS,
            "us a second",
            note=f"{quiet} core for all of them and the process itself",
        ),
    ]


async def _step(
    runner: Runner, target: Target, load: Load, scripts: Sequence[Script]
) -> _Step:
    plan = runner.plan
    await load.open(target.port, scripts)
    sockets, at_once = len(load.connections), plan.connections
    part = sockets / plan.sockets[-1]
    quiet = await _quiet(target, max(_LEAST, part * plan.quiet_seconds))
    memory = target.memory_bytes
    await load.ask_in_turn(max(sockets, plan.messages // 3), at_once)
    runs = [
        await runner.run(
            target, lambda: load.ask_in_turn(plan.messages, at_once)
        )
        for _ in range(plan.rounds)
    ]
    costs = [
        (run.usage.server - quiet * run.usage.seconds) / len(run.waits)
        for run in runs
    ]
    return _Step(sockets, memory, quiet, [c * MICROSECONDS for c in costs])


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
