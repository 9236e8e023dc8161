"""The measurements that need nothing but load on a server."""

from dataclasses import dataclass, replace
from statistics import mean, median, quantiles
from typing import Final

from app.bench.load import Load, loaded
from app.bench.rows import LISTS, SOCKET_LIST, Rate, Row
from app.bench.runner import Run, Runner
from app.bench.target import Target
from app.bench.wire import Script

_ECHO_ACCEPTS: Final = {"WS": b'"pkg_id"', "HTTP": b"echo"}
_WARM_UP_SECONDS: Final = 0.3
_MICROSECONDS: Final = 1e6
_PERCENT: Final = 100


@dataclass(frozen=True)
class Servers:
    """The servers under load."""

    echo: Target
    service: Target
    naive: Target


class Measure:
    """Measures rows on running servers.

    Args:
        runner: Runs the loads.
        servers: The servers under load.
    """

    def __init__(self, runner: Runner, servers: Servers) -> None:
        self._runner = runner
        self._servers = servers
        self._plan = runner.plan
        self._keycloak = runner.stage.keycloak
        self._calls = 0
        self._answers = 0

    async def rate(self, rate: Rate) -> Row:
        """Compare a rate with the echo's, run for run."""
        target: Target = getattr(self._servers, rate.server)
        scripts = await self._scripts(rate)
        accepts = _ECHO_ACCEPTS[rate.protocol]
        echoes = [replace(script, accepts=accepts) for script in scripts]
        async with (
            loaded(self._servers.echo.port, echoes) as echo_load,
            loaded(target.port, scripts) as load,
        ):
            calls = self._keycloak.asked
            pairs = [
                (
                    await self._saturate(self._servers.echo, echo_load),
                    await self._saturate(target, load),
                )
                for _ in range(self._plan.rounds)
            ]
            calls = self._keycloak.asked - calls
        answers = sum(len(run.waits) for _, run in pairs)
        if rate.server == "service":
            self._calls += calls
            self._answers += answers
        cost = mean(run.cost for _, run in pairs) * _MICROSECONDS
        least = mean(run.cost for run, _ in pairs) * _MICROSECONDS
        return Row(
            rate.name,
            median(echo.cost / run.cost for echo, run in pairs),
            f"x {rate.protocol} echo",
            rate.must,
            rate.aim,
            rises=True,
            note=f"{cost:.0f} us an answer, the echo {least:.0f}",
        )

    def keycloak(self) -> Row:
        """Tell how often the service has asked Keycloak while warm."""
        return Row(
            "Keycloak calls per request, warm",
            self._calls / self._answers,
            "calls",
            must=0,
            aim=0,
            note=f"{self._calls} in {self._answers} answers",
        )

    async def latency(self) -> Row:
        """Compare the slowest answers with the usual ones, at half load."""
        target = self._servers.service
        scripts = await self._scripts(SOCKET_LIST)
        async with loaded(target.port, scripts) as load:
            busy = await self._saturate(target, load)
            rate = len(busy.waits) / busy.usage.seconds / 2
            run = await self._runner.run(
                target, lambda: load.pace(rate, 2 * self._plan.seconds)
            )
        parts = quantiles(run.waits, n=_PERCENT)
        p50, p99 = parts[49], parts[98]
        return Row(
            "latency at half of saturation, WS 20-row read",
            p99 / p50,
            "p99 / p50",
            must=5,
            aim=3,
            note=f"{p50 * 1000:.2f} ms and {p99 * 1000:.2f} ms",
        )

    async def growing_lists(self) -> Row:
        """Compare what a row costs in a short list and in the longest."""
        costs = []
        for rows, rate in LISTS.items():
            scripts = await self._scripts(rate)
            async with loaded(self._servers.service.port, scripts) as load:
                run = await self._saturate(self._servers.service, load)
                costs.append(run.cost * _MICROSECONDS / rows)
        return Row(
            "a row, as lists grow from 20 rows to 1,000",
            costs[1] / costs[0],
            "x",
            must=1,
            note=f"{costs[0]:.2f} us a row, then {costs[1]:.2f}",
        )

    async def _scripts(self, rate: Rate) -> list[Script]:
        """Say what each connection sends, of a user of its own."""
        stage, count = self._runner.stage, self._plan.connections
        if rate.server == "naive":
            return [rate.script(await stage.token())] * count
        return [rate.script(token) for token in stage.crowd.tokens(count)]

    async def _saturate(self, target: Target, load: Load) -> Run:
        await load.saturate(_WARM_UP_SECONDS * self._plan.seconds)
        return await self._runner.run(
            target, lambda: load.saturate(self._plan.seconds)
        )
