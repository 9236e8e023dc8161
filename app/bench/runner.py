"""Runs: load on one server for a while, repeated where it was disturbed."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from app.bench.cpu import Meter, Usage
from app.bench.stage import Stage
from app.bench.target import Target

Load = Callable[[], Awaitable[list[float]]]


@dataclass(frozen=True)
class Plan:
    """How long a run is, how many there are, and how much is open.

    `repeats` bounds the repetitions of disturbed runs, of all rows together;
    `sockets` is how many are open before and after they have grown.
    """

    seconds: float
    rounds: int
    repeats: int
    connections: int
    sockets: tuple[int, int]


FULL: Final = Plan(1.0, 3, 15, 16, (100, 2000))
QUICK: Final = Plan(0.4, 1, 3, 16, (50, 250))


@dataclass(frozen=True)
class Run:
    """The answers of one run, in seconds each, and what they have cost."""

    waits: list[float]
    usage: Usage

    @property
    def cost(self) -> float:
        """Seconds of the server's CPU for one answer."""
        return self.usage.server / len(self.waits)


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

    async def run(self, target: Target, load: Load) -> Run:
        """Put a load on a server; again while it is disturbed.

        Args:
            target: The server.
            load: Returns what each answer took.
        """
        while True:
            with Meter(target, self.stage.ports) as meter:
                waits = await load()
            if not meter.usage.is_disturbed:
                break
            if self.repeated == self.plan.repeats:
                break
            self.repeated += 1
        self.usages.append(meter.usage)
        return Run(waits, meter.usage)
