"""What a socket costs, and what stops the event loop, as sockets grow."""

import json
import resource
from dataclasses import dataclass
from math import ceil
from typing import Final

from app.bench.crowd import Crowd
from app.bench.load import Load, loaded
from app.bench.rows import CHAIN, STALLS, Row
from app.bench.runner import Runner
from app.bench.target import Target, make_service
from app.bench.wire import Script
from app.constants import WS_MAX_CONNECTIONS_PER_USER

_KIB: Final = 1024
_MESSAGES: Final = 4000
_NOISE: Final = 1.2
"""A cost that grew less than this is taken for one that did not grow."""
_SPARE_FILES: Final = 200


@dataclass(frozen=True)
class _Cost:
    """A server's memory in bytes, and its CPU for a message."""

    memory: int
    microseconds: float


async def measure_sockets(runner: Runner) -> list[Row]:
    """Open a few sockets, then many, on a server that has none yet."""
    few, many = runner.plan.sockets
    _allow_files(many + _SPARE_FILES)
    scripts = _scripts(runner.stage.crowd, many)
    async with (
        runner.stage.target(make_service) as target,
        loaded(target.port, scripts[:few]) as load,
    ):
        small = await _cost(runner, target, load)
        await load.open(target.port, scripts[few:])
        large = await _cost(runner, target, load)
        stalls = await _stalls(runner, target)
    kib = (large.memory - small.memory) / (many - few) / _KIB
    return [
        Row("memory of an idle signed-in socket", kib, "KiB", 32, 22),
        Row(
            f"a message, as sockets grow from {few} to {many}",
            large.microseconds / small.microseconds,
            "x",
            must=_NOISE,
            note=f"{small.microseconds:.0f} us, then {large.microseconds:.0f}",
        ),
        *stalls,
    ]


def _scripts(crowd: Crowd, count: int) -> list[Script]:
    """Say what so many sockets send, each user having a few."""
    tokens = crowd.tokens(ceil(count / WS_MAX_CONNECTIONS_PER_USER))
    users = [CHAIN.script(token) for token in tokens]
    return [users[i % len(users)] for i in range(count)]


async def _cost(runner: Runner, target: Target, load: Load) -> _Cost:
    run = await runner.run(target, lambda: load.ask_all(_MESSAGES))
    return _Cost(target.memory_bytes, run.cost * 1e6)


async def _stalls(runner: Runner, target: Target) -> list[Row]:
    (token,) = runner.stage.crowd.tokens(1)
    async with loaded(target.port, [STALLS.script(token)]) as load:
        await load.ask_all(1)
        reply = load.connections[0].answer
    stalls = json.loads(reply[reply.index(b"{") :])["data"]
    return [
        Row(f"event-loop stall: {name}", seconds * 1000, "ms", 20, 5)
        for name, seconds in stalls.items()
    ]


def _allow_files(count: int) -> None:
    """Let this process, and those it starts, open so many files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(count, hard), hard))
