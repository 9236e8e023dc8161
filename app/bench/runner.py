"""Runs: load on one server for a while, repeated where it was disturbed."""

import gc
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Final

from app.bench.cores import apart, prompt
from app.bench.cpu import Measured, Meter, Usage, family, listeners
from app.bench.stage import Stage
from app.bench.target import Target

Load = Callable[[], Awaitable[list[float]]]
LoadFor = Callable[[float], Awaitable[list[float]]]
"""A load that goes on for so many seconds."""

MICROSECONDS: Final = 1e6
_MOST_REPEATS: Final = 3
"""How often one run is repeated, however many are left."""
_WARM_UP: Final = 0.2
"""Part of a run's time that goes by before it is measured."""


@dataclass(frozen=True)
class Plan:
    """How long a run is, how many there are, and how much is open.

    There are `rounds` of most rows and `many_rounds` of latencies, which
    differ most from run to run; a broadcast is heard by so many `audiences`,
    one after the other, in `rounds` each.
    `repeats` bounds the repetitions of disturbed runs, of all rows together;
    `sockets` is how many are open at first and after each step, and
    `messages` how many they are then asked. `quiet_seconds` is how long
    nobody says anything when all are open, `watch_seconds` how long an event
    loop is watched, `steady_seconds` how long 200 users speak as users do.
    """

    seconds: float
    rounds: int
    many_rounds: int
    audiences: int
    repeats: int
    connections: int
    audience: int
    processes: int
    sockets: tuple[int, ...]
    messages: int
    quiet_seconds: float
    watch_seconds: float
    steady_seconds: float


FULL: Final = Plan(
    seconds=0.8,
    rounds=5,
    many_rounds=15,
    audiences=5,
    repeats=40,
    connections=16,
    audience=500,
    processes=3,
    sockets=(100, 1000, 10_000),
    messages=15_000,
    quiet_seconds=20,
    watch_seconds=1,
    steady_seconds=12,
)
QUICK: Final = Plan(
    seconds=0.2,
    rounds=3,
    many_rounds=5,
    audiences=1,
    repeats=5,
    connections=16,
    audience=500,
    processes=2,
    sockets=(50, 500),
    messages=4000,
    quiet_seconds=1,
    watch_seconds=0.5,
    steady_seconds=4,
)


@dataclass(frozen=True)
class Run:
    """The answers of one run, in seconds each, and what they have cost."""

    waits: list[float]
    usage: Usage

    @property
    def cost(self) -> float:
        """Microseconds of the server's CPU for one answer."""
        return self.usage.server / len(self.waits) * MICROSECONDS


@dataclass(frozen=True)
class Subject:
    """A server, and the load under which it is measured."""

    target: Measured
    load: LoadFor


@dataclass(frozen=True)
class Comparison:
    """Runs on the echo, and those on something else right after each."""

    pairs: list[tuple[Run, Run]]

    @property
    def ratios(self) -> list[float]:
        """How many answers cost as much as one, of the echo's."""
        return [echo.cost / run.cost for echo, run in self.pairs]

    @property
    def echo(self) -> float:
        """What the echo's answer costs, in microseconds."""
        return median(echo.cost for echo, _ in self.pairs)

    @property
    def cost(self) -> float:
        """What an answer costs, in microseconds."""
        return median(run.cost for _, run in self.pairs)

    @property
    def answers(self) -> int:
        """How many answers there were, without the echo's."""
        return sum(len(run.waits) for _, run in self.pairs)


class Runner:
    """Runs loads, as the plan says.

    Args:
        stage: The servers behind those under load.
        plan: How long and how much.
    """

    def __init__(self, stage: Stage, plan: Plan) -> None:
        self.stage = stage
        self.plan = plan
        self.usages: list[Usage] = []
        self.repeated = 0

    @property
    def disturbed(self) -> int:
        """How many runs stayed disturbed."""
        return sum(usage.is_disturbed for usage in self.usages)

    async def run(self, target: Measured, load: Load) -> Run:
        """Put a load on a server; again while it is disturbed.

        Args:
            target: The server.
            load: Returns what each answer took.
        """
        repeats = min(_MOST_REPEATS, self.plan.repeats - self.repeated)
        run = await self._once(target, load)
        while run.usage.is_disturbed and repeats > 0:
            repeats -= 1
            self.repeated += 1
            run = await self._once(target, load)
        self.usages.append(run.usage)
        return run

    async def run_for(self, subject: Subject) -> Run:
        """Run for the plan's time, after some more that does not count."""
        seconds = self.plan.seconds
        await subject.load(_WARM_UP * seconds)
        return await self.run(subject.target, lambda: subject.load(seconds))

    async def rounds(self, subject: Subject) -> list[Run]:
        """Run as often as the plan says, on a server that is warm."""
        return [run for (run,) in await self.in_turn(subject)]

    async def compare(self, echo: Subject, subject: Subject) -> Comparison:
        """Run on both in turn, as often as the plan says."""
        rounds = await self.in_turn(echo, subject)
        return Comparison([(first, second) for first, second in rounds])

    async def in_turn(self, *subjects: Subject) -> list[list[Run]]:
        """Return one run on each, for every round.

        They are warm, and a slower machine slows down all of them.
        """
        for subject in subjects:
            await subject.load(self.plan.seconds)
        return [
            [await self.run_for(subject) for subject in subjects]
            for _ in range(self.plan.rounds)
        ]

    @contextmanager
    def watched(self, target: Measured) -> Iterator[None]:
        """Note whether what is not repeated was disturbed."""
        with self._meter(target) as meter:
            yield
        self.usages.append(meter.usage)

    def apart(self, target: Target) -> AbstractContextManager[None]:
        """Give a server a core of its own while the block runs."""
        return apart(target.process, listeners(self.stage.ports))

    def prompt(self, target: Target) -> AbstractContextManager[None]:
        """Let nobody keep the load, a server or its databases waiting."""
        found = listeners(self.stage.databases)
        databases = [member for one in found for member in family(one)]
        return prompt(target.process, *databases)

    async def _once(self, target: Measured, load: Load) -> Run:
        with _no_garbage_collection(), self._meter(target) as meter:
            waits = await load()
        return Run(waits, meter.usage)

    def _meter(self, target: Measured) -> Meter:
        started = [running.process for running in self.stage.targets]
        return Meter(target, self.stage.ports, started)


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Let no pause of the generator's be taken for the server's."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
