"""What a socket costs as sockets grow, and what stops the event loop then."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil
from statistics import median
from typing import Final

from app.bench.crowd import Crowd
from app.bench.inside import Stalls
from app.bench.load import Load, loaded
from app.bench.rows import CHAIN, NOISE, Row, spread
from app.bench.runner import MICROSECONDS, Runner
from app.bench.target import Target, make_service
from app.bench.wire import Script
from app.constants import WS_MAX_CONNECTIONS_PER_USER

_KIB: Final = 1024
_SETTLE_SECONDS: Final = 0.5


@dataclass(frozen=True)
class _Step:
    """A server with so many sockets: its memory, and its CPU for messages.

    `memory` is in bytes, before any of the last sockets has said anything;
    `costs` are microseconds for a message, one for each round.
    """

    sockets: int
    memory: int
    costs: list[float]

    @property
    def cost(self) -> float:
        return median(self.costs)


async def measure_sockets(runner: Runner) -> list[Row]:
    """Open a few sockets, then more, on a server that has none yet."""
    steps = runner.plan.sockets
    scripts = _scripts(runner.stage.crowd, steps[-1])
    async with (
        runner.stage.target(make_service) as target,
        loaded(target.port, []) as load,
    ):
        taken = [
            await _step(
                runner, target, load, scripts[len(load.connections) : n]
            )
            for n in steps
        ]
        spoken = target.memory_bytes
        quiet = await _quiet(runner, target)
        stalls = await Stalls(runner, target, load).measure()
    return [*_growth(taken, spoken), quiet, *stalls]


def _growth(steps: Sequence[_Step], spoken: int) -> list[Row]:
    first, last = steps[0], steps[-1]
    more = last.sockets - first.sockets
    idle = (last.memory - first.memory) / more / _KIB
    parts = [
        (b.memory - a.memory) / (b.sockets - a.sockets) / _KIB
        for a, b in pairwise(steps)
    ]
    between = f"from {first.sockets:,} to {last.sockets:,}"
    costs = ", ".join(f"{s.cost:.0f}{spread(s.costs)}" for s in steps)
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
            note=f"{costs} us",
        ),
    ]


async def _step(
    runner: Runner, target: Target, load: Load, scripts: Sequence[Script]
) -> _Step:
    plan = runner.plan
    await load.open(target.port, scripts)
    await asyncio.sleep(_SETTLE_SECONDS)
    memory = target.memory_bytes
    sockets, at_once = len(load.connections), plan.connections
    await load.ask_in_turn(max(sockets, plan.messages // 3), at_once)
    runs = [
        await runner.run(
            target, lambda: load.ask_in_turn(plan.messages, at_once)
        )
        for _ in range(plan.rounds)
    ]
    return _Step(sockets, memory, [run.cost for run in runs])


async def _quiet(runner: Runner, target: Target) -> Row:
    """Tell what sockets cost that say nothing, the process's own included."""
    sockets, seconds = runner.plan.sockets[-1], runner.plan.quiet_seconds
    before = target.cpu_seconds
    await asyncio.sleep(seconds)
    used = (target.cpu_seconds - before) / seconds
    return Row(
        "CPU of an idle signed-in socket",
        used / sockets * MICROSECONDS,
        "us a second",
        note=f"{used:.3f} core for {sockets:,}: pings, leases, looks",
    )


def _scripts(crowd: Crowd, count: int) -> list[Script]:
    """Say what so many sockets send, each user having a few."""
    tokens = crowd.tokens(ceil(count / WS_MAX_CONNECTIONS_PER_USER))
    users = [CHAIN.script(token) for token in tokens]
    return [users[i % len(users)] for i in range(count)]
