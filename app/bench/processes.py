"""What an answer costs when more processes share Postgres and Redis.

One of them, two and more are asked in turn, so that a slower machine is one
for all of them.
"""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from statistics import median
from typing import Final

from app.bench.load import Load, loaded
from app.bench.rows import MIXED, NOISE, Row, growth, spread
from app.bench.runner import Runner, Subject
from app.bench.target import Target, make_service

_PER_SECOND: Final = 600
"""Answers of each process: together far less than the machine can do."""


@dataclass(frozen=True)
class _Fleet:
    """Some processes, and what is asked of each."""

    members: list[tuple[Target, Load]]

    @property
    def cpu_seconds(self) -> float:
        """What all of them have used of the CPU so far."""
        return sum(target.cpu_seconds for target, _ in self.members)

    async def load(self, seconds: float) -> list[float]:
        """Ask all of them, at the same rate."""
        waits = await asyncio.gather(
            *(load.pace(_PER_SECOND, seconds) for _, load in self.members)
        )
        return [wait for some in waits for wait in some]


async def measure_processes(runner: Runner) -> Row:
    """Start one process more at a time; each user is on all of them."""
    stage, count = runner.stage, runner.plan.processes
    tokens = stage.crowd.tokens(runner.plan.connections)
    scripts = [MIXED.script(token) for token in tokens]
    fleets: list[_Fleet] = []
    members: list[tuple[Target, Load]] = []
    async with AsyncExitStack() as stack:
        for number in range(1, count + 1):
            pod = stage.target(make_service, POD_NAME=f"bench-{number}")
            target = await stack.enter_async_context(pod)
            opened = loaded(target.port, scripts)
            load = await stack.enter_async_context(opened)
            members.append((target, load))
            fleets.append(_Fleet([*members]))
        subjects = [Subject(fleet, fleet.load) for fleet in fleets]
        rounds = await runner.in_turn(*subjects)
    costs = [[run.cost for run in runs] for runs in zip(*rounds, strict=True)]
    each = ", ".join(f"{median(c):.0f}{spread(c)}" for c in costs)
    return Row(
        f"an answer, as processes grow from 1 to {count}",
        median(growth(costs[0], costs[-1])),
        "x",
        must=NOISE,
        note=f"{each} us, asked {_PER_SECOND} times a second each",
    )
