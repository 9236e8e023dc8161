"""The measurements that need nothing but load on a server."""

import json
from dataclasses import dataclass, replace
from statistics import median, quantiles
from typing import Any, Final

from app.api.ws.constants import PkgID
from app.bench.load import Load, loaded
from app.bench.rows import SOCKET_LIST, Rate, Row, spread
from app.bench.runner import Comparison, Runner, Subject
from app.bench.target import Target, make_reading_echo
from app.bench.wire import Script
from app.constants import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE

ECHO_ACCEPTS: Final = {"WS": b'"pkg_id"', "HTTP": b"echo"}
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
        self._keycloak = runner.stage.keycloak
        self._calls = 0
        self._answers = 0

    async def rate(self, rate: Rate) -> Row:
        """Compare a rate with the echo's, run for run."""
        target: Target = getattr(self._servers, rate.server)
        scripts = await self._scripts(rate)
        accepts = ECHO_ACCEPTS[rate.protocol]
        echoes = [replace(script, accepts=accepts) for script in scripts]
        async with (
            loaded(self._servers.echo.port, echoes) as echo,
            loaded(target.port, scripts) as load,
        ):
            calls = self._keycloak.asked
            comparison = await self._runner.compare(
                Subject(self._servers.echo, echo.saturate),
                Subject(target, load.saturate),
            )
            calls = self._keycloak.asked - calls
        if rate.server == "service":
            self._calls += calls
            self._answers += comparison.answers
        return _row(rate, comparison)

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
        scripts = await self._scripts(SOCKET_LIST)
        echoes = [replace(s, accepts=ECHO_ACCEPTS["WS"]) for s in scripts]
        echo, service = self._servers.echo, self._servers.service
        async with (
            self._runner.stage.target(make_reading_echo) as reading,
            loaded(service.port, scripts) as load,
            loaded(echo.port, echoes) as echo_load,
            loaded(reading.port, echoes) as reading_load,
        ):
            with self._runner.apart(service):
                busy = await self._runner.rounds(
                    Subject(service, load.saturate)
                )
            rate = median(len(b.waits) / b.usage.seconds for b in busy) / 2
            rounds = [
                (
                    await self._waits(service, load, rate),
                    await self._waits(echo, echo_load, rate),
                    await self._waits(reading, reading_load, rate),
                )
                for _ in range(self._runner.plan.many_rounds)
            ]
        ours, *others = zip(*rounds, strict=True)
        ratios = [p99 / p50 for p50, p99 in ours]
        p50, p99 = (median(w) * 1000 for w in zip(*ours, strict=True))
        plain, reader = (
            median(p99 / p50 for p50, p99 in waits) for waits in others
        )
        return Row(
            "latency at half of saturation, WS 20-row read",
            median(ratios),
            "p99 / p50",
            must=5,
            aim=3,
            note=f"{p50:.2f} ms and {p99:.2f} ms at {rate:.0f} a second"
            f"{spread(ratios)}; the echo's, at this rate, is {plain:.3g}, and "
            f"{reader:.3g} if it reads 20 rows",
        )

    async def _waits(
        self, target: Target, load: Load, rate: float
    ) -> tuple[float, float]:
        """Return median and 99th percentile of a run, in seconds."""
        seconds = 2 * self._runner.plan.seconds
        with self._runner.apart(target), self._runner.prompt(target):
            run = await self._runner.run(
                target, lambda: load.pace(rate, seconds)
            )
        parts = quantiles(run.waits, n=_PERCENT)
        return parts[49], parts[98]

    async def growing_lists(self) -> Row:
        """Compare what a row costs in a short list and in long ones.

        A list has 1,000 rows at most, so that 2,000 are two of them.
        """
        first: dict[str, Any] = {"limit": MAX_PAGE_SIZE}
        second = {**first, "after": await self._cursor(first)}
        costs = [
            await self._cost_of_a_row([{"limit": DEFAULT_PAGE_SIZE}]),
            await self._cost_of_a_row([first]),
            await self._cost_of_a_row([first, second]),
        ]
        few, _, many = costs
        return Row(
            "a row, as lists grow from 20 rows to 2,000",
            many / few,
            "x",
            must=1,
            note=f"{few:.2f} us a row, {costs[1]:.2f} in a page of 1,000, "
            f"{many:.2f} in two such pages, one after the other",
        )

    async def _cost_of_a_row(self, pages: list[dict[str, Any]]) -> float:
        asked = tuple((int(PkgID.GET_AUTHORS), page) for page in pages)
        scripts = await self._scripts(Rate("lists", "WS", asked))
        target = self._servers.service
        async with loaded(target.port, scripts) as load:
            runs = await self._runner.rounds(Subject(target, load.saturate))
        rows: int = pages[0]["limit"]
        return median(run.cost for run in runs) / rows

    async def _cursor(self, page: dict[str, Any]) -> str:
        rate = Rate("a page", "WS", ((PkgID.GET_AUTHORS, page),))
        script = (await self._scripts(rate))[0]
        async with loaded(self._servers.service.port, [script]) as load:
            reply = await ask(load)
        return str(reply["meta"]["next"])

    async def _scripts(self, rate: Rate) -> list[Script]:
        """Say what each connection sends, of a user of its own."""
        stage, count = self._runner.stage, self._runner.plan.connections
        if rate.server == "naive":
            return [rate.script(await stage.token())] * count
        tokens = enumerate(stage.crowd.tokens(count))
        return [rate.script(token, number) for number, token in tokens]


async def ask(load: Load) -> dict[str, Any]:
    """Ask once over the only socket, and return the reply."""
    await load.ask_in_turn(1, 1)
    (socket,) = load.connections
    reply: dict[str, Any] = json.loads(
        socket.answer[socket.answer.index(b"{") :]
    )
    return reply


def _row(rate: Rate, comparison: Comparison) -> Row:
    return Row(
        rate.name,
        median(comparison.ratios),
        f"x {rate.protocol} echo",
        rate.must,
        rate.aim,
        rises=True,
        note=f"{comparison.cost:.0f} us an answer, "
        f"the echo {comparison.echo:.0f}{spread(comparison.ratios)}",
    )
