"""What only a server itself can tell: its event loop, and its audit rows."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from statistics import median
from typing import Final

from app.bench.load import Load, loaded
from app.bench.measure import ask
from app.bench.package import BenchID
from app.bench.rows import Row, spread
from app.bench.runner import MICROSECONDS, Runner
from app.bench.target import Target
from app.bench.wire import Script, http_script, socket_script
from app.types import Token

_ROWS: Final = 5000
_BURST: Final = 1500
_MILLISECONDS: Final = 1000
_Turn = dict[str, float]


async def measure_audit(runner: Runner, target: Target) -> Row:
    """Tell what an audit row costs, from the action to the table."""
    (token,) = runner.stage.crowd.tokens(1)
    script = socket_script(token, [(BenchID.AUDIT, {"count": _ROWS})])
    async with loaded(target.port, [script]) as load:
        await ask(load)
        costs = [(await ask(load))["data"] for _ in range(runner.plan.rounds)]
    make, store = (
        [cost[name] / _ROWS * MICROSECONDS for cost in costs]
        for name in ("make_seconds", "store_seconds")
    )
    both = [sum(pair) for pair in zip(make, store, strict=True)]
    return Row(
        "audit row, CPU",
        median(both),
        "us",
        must=6,
        aim=4,
        note=f"{median(make):.1f} us to make it, {median(store):.1f} to "
        f"store it{spread(both)}",
    )


class Stalls:
    """Watches an event loop while something happens to it.

    Args:
        runner: Knows the servers behind the one that is watched.
        target: The server that is watched.
        load: The sockets that are open there.
    """

    def __init__(self, runner: Runner, target: Target, load: Load) -> None:
        self._stage = runner.stage
        self._rounds = max(1, runner.plan.rounds // 2)
        self._seconds = runner.plan.watch_seconds
        self._port = target.port
        self._load = load

    async def measure(self) -> list[Row]:
        """Return a row for each thing that happens."""
        happenings = {
            "scrape": self._scrape,
            "keys": self._fetch_keys,
            "audit flush": self._flush,
            "role map": self._swap_role_map,
            "nothing but time": self._rest,
        }
        turns: dict[str, list[_Turn]] = {name: [] for name in happenings}
        async with loaded(self._port, [self._watch()]) as watcher:
            for _ in range(self._rounds):
                for name, happen in happenings.items():
                    turns[name].append(await _longest_turn(watcher, happen))
        return [_row(name, longest) for name, longest in turns.items()]

    def _watch(self) -> Script:
        (token,) = self._stage.crowd.tokens(1)
        watch = (BenchID.WATCH_LOOP, {"seconds": self._seconds})
        return socket_script(token, [watch])

    async def _scrape(self) -> None:
        (token,) = self._stage.crowd.tokens(1)
        await self._request("/metrics", token, HTTPStatus.OK)

    async def _fetch_keys(self) -> None:
        """Bring a token whose key nobody knows."""
        token = self._stage.crowd.forged()
        await self._request("/me", token, HTTPStatus.UNAUTHORIZED)

    async def _request(
        self, path: str, token: Token, status: HTTPStatus
    ) -> None:
        script = http_script(path, token, status=status)
        async with loaded(self._port, [script]) as load:
            await load.ask_in_turn(1, 1)

    async def _flush(self) -> None:
        await self._load.ask_in_turn(_BURST, 16)

    async def _swap_role_map(self) -> None:
        self._stage.swap_role_map()

    async def _rest(self) -> None:
        pass


async def _longest_turn(
    watcher: Load, happen: Callable[[], Awaitable[None]]
) -> _Turn:
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(ask(watcher))
        await happen()
    turn: _Turn = watching.result()["data"]
    return turn


def _row(name: str, turns: Sequence[_Turn]) -> Row:
    cpu = [turn["cpu_seconds"] * _MILLISECONDS for turn in turns]
    clock = max(turn["clock_seconds"] * _MILLISECONDS for turn in turns)
    return Row(
        f"event-loop stall: {name}",
        max(cpu),
        "ms",
        must=20,
        aim=5,
        note=f"of CPU{spread(cpu)}; {clock:.1f} ms by the clock",
    )
