"""Which faults there are and when: the same for the same seed."""

import random
from typing import NamedTuple

PODS = 3
POD_FAULTS = ("SIGTERM", "SIGKILL", "SIGKILL worker")
WIRE_FAULTS = ("cut", "reset", "half-close", "black hole", "slow")
SERVER_FAULTS = {"redis": "forget everything", "postgres": "end sessions"}


class Fault(NamedTuple):
    """Something that breaks, and for how long."""

    at: float
    target: str
    kind: str
    seconds: float

    def __str__(self) -> str:
        return (
            f"{self.at:7.2f} s  {self.target:8}  {self.kind}"
            f" for {self.seconds:.2f} s"
        )


def make_schedule(seed: int, seconds: float) -> list[Fault]:
    """Return the faults of a run of this length, in their order.

    A longer run of the same seed begins with the same faults.
    """
    faults = [
        *_pods(random.Random(f"{seed} pods"), seconds),
        *_wire(random.Random(f"{seed} redis"), "redis", seconds),
        *_wire(random.Random(f"{seed} postgres"), "postgres", seconds),
    ]
    return sorted(faults)


def _pods(rng: random.Random, seconds: float) -> list[Fault]:
    faults = []
    at = rng.uniform(1, 3)
    while at < seconds:
        pod = f"pod {rng.randrange(PODS)}"
        kind = rng.choice(POD_FAULTS)
        faults.append(Fault(at, pod, kind, rng.uniform(0, 1)))
        at += rng.uniform(2, 6)
    return faults


def _wire(rng: random.Random, target: str, seconds: float) -> list[Fault]:
    kinds = (*WIRE_FAULTS, SERVER_FAULTS[target])
    faults = []
    at = rng.uniform(1, 5)
    while at < seconds:
        length = rng.choice((0.2, 1, 3)) * rng.uniform(0.5, 1)
        faults.append(Fault(at, target, rng.choice(kinds), length))
        at += length + rng.uniform(1, 5)
    return faults
