"""Whose CPU a run has used: the server's, the generator's, others'."""

import time
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Protocol, Self

import psutil

MAX_GENERATOR_CORES: Final = 0.85
MAX_OTHER_CORES: Final = 0.12


class Measured(Protocol):
    """A server, or several."""

    @property
    def cpu_seconds(self) -> float:
        """What it has used of the CPU so far."""


@dataclass(frozen=True)
class Usage:
    """What a run has cost, in seconds of CPU, and how long it took.

    Others are programs that have no part in it, here or, as far as the host
    says, on the machine that it shares with us.
    """

    seconds: float
    server: float
    generator: float
    others: float

    @property
    def is_disturbed(self) -> bool:
        """Whether something else than the server may have been slow."""
        return (
            self.generator > MAX_GENERATOR_CORES * self.seconds
            or self.others > MAX_OTHER_CORES * self.seconds
        )


class Meter:
    """Measures the CPU of everybody while its block runs.

    Args:
        target: The server under load.
        ports: Where the servers listen that it uses.
        started: What the bench has started, the target and those beside it.
    """

    usage: Usage

    def __init__(
        self,
        target: Measured,
        ports: Collection[int],
        started: Iterable[psutil.Process],
    ) -> None:
        self._target = target
        self._helpers = listeners(ports)
        self._started = list(started)
        self._before: tuple[float, ...] = ()

    def __enter__(self) -> Self:
        self._before = self._read()
        return self

    def __exit__(self, *_: object) -> None:
        after = self._read()
        pairs = zip(self._before, after, strict=True)
        seconds, server, generator, ours, all_of_it = (
            now - then for then, now in pairs
        )
        others = max(0.0, all_of_it - generator - ours)
        self.usage = Usage(seconds, server, generator, others)

    def _read(self) -> tuple[float, ...]:
        system = psutil.cpu_times()
        return (
            time.perf_counter(),
            self._target.cpu_seconds,
            time.process_time(),
            sum(_cpu(p) for helper in self._helpers for p in family(helper))
            + sum(map(_cpu, self._started)),
            system.user
            + system.nice
            + system.system
            + getattr(system, "steal", 0.0),  # where it is told of
        )


def family(process: psutil.Process) -> list[psutil.Process]:
    """Return a process and all that descend from it, if it runs."""
    with suppress(psutil.Error):
        return [process, *process.children(recursive=True)]
    return []


def _cpu(process: psutil.Process) -> float:
    with suppress(psutil.Error):
        times = process.cpu_times()
        return float(times.user + times.system)
    return 0.0  # it has ended


def listeners(ports: Collection[int]) -> list[psutil.Process]:
    """Find who listens there, as far as this user may know."""
    found: list[psutil.Process] = []
    with suppress(psutil.Error):
        pids = {
            connection.pid
            for connection in psutil.net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN
            and connection.laddr
            and connection.laddr.port in ports
            and connection.pid is not None
        }
        found = [psutil.Process(pid) for pid in pids]
    return found
