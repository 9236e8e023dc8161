"""All measurements, one after the other."""

import asyncio
import resource
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import psutil

from app.bench.broadcast import measure_broadcast
from app.bench.inside import measure_audit
from app.bench.measure import Measure, Servers
from app.bench.processes import measure_processes
from app.bench.redis_use import measure_redis
from app.bench.rows import RATES, Row
from app.bench.runner import Plan, Runner
from app.bench.sockets import measure_sockets
from app.bench.stage import Stage
from app.bench.target import make_echo, make_naive, make_service

_SPARE_FILES: Final = 500
PACKAGES: Final = (
    "uvicorn",
    "uvloop",
    "httptools",
    "websockets",
    "fastapi",
    "starlette",
    "pydantic",
    "msgspec",
    "sqlalchemy",
    "asyncpg",
)


@dataclass(frozen=True)
class Report:
    """What was measured, on what, and how undisturbed."""

    rows: list[Row]
    machine: str
    versions: dict[str, str]
    at: str
    runs: str

    def as_dict(self) -> dict[str, Any]:
        """Return the report for a file of JSON."""
        return {**vars(self), "rows": [row.as_dict() for row in self.rows]}


async def measure_all(
    stage: Stage, plan: Plan, say: Callable[[Row], object]
) -> Report:
    """Measure every row, and tell each when it is there."""
    _allow_files(plan.sockets[-1] + _SPARE_FILES)
    runner = Runner(stage, plan)
    rows: list[Row] = []
    async for row in _measured(runner):
        say(row)
        rows.append(row)
    return Report(
        rows=rows,
        machine=_machine(),
        versions={"python": sys.version.split()[0], **_versions()},
        at=datetime.now(UTC).isoformat(timespec="minutes"),
        runs=_describe(runner),
    )


def _allow_files(count: int) -> None:
    """Let this process, and all that it starts from now on, open so many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(count, hard), hard))


async def _measured(runner: Runner) -> AsyncIterator[Row]:
    """Measure one thing after the other, and mark what was disturbed."""
    before = 0
    async for rows in _all_rows(runner):
        disturbed = runner.disturbed > before
        before = runner.disturbed
        for row in rows:
            yield replace(row, disturbed=disturbed)


async def _all_rows(runner: Runner) -> AsyncIterator[list[Row]]:
    """Return together what is measured together."""
    async with AsyncExitStack() as stack:
        targets = (
            stack.enter_async_context(runner.stage.target(make))
            for make in (make_echo, make_service, make_naive)
        )
        servers = Servers(*await asyncio.gather(*targets))
        measure = Measure(runner, servers)
        for rate in RATES:
            yield [await measure.rate(rate)]
        yield await measure_broadcast(runner, servers)
        yield [measure.keycloak()]
        yield [await measure.latency()]
        yield [await measure.growing_lists()]
        yield [await measure_audit(runner, servers.service)]
    yield [await measure_redis(runner)]
    yield [await measure_processes(runner)]
    yield await measure_sockets(runner)


def _describe(runner: Runner) -> str:
    usages = runner.usages
    busiest = max(usage.generator / usage.seconds for usage in usages)
    return (
        f"{len(usages)} runs, {runner.repeated} repeated, "
        f"{runner.disturbed} disturbed to the end; "
        f"the generator used at most {busiest:.2f} core"
    )


def _machine() -> str:
    memory = psutil.virtual_memory().total / 2**30
    return f"{psutil.cpu_count()} x {_cpu_model()}, {memory:.0f} GiB"


def _cpu_model() -> str:
    file = Path("/proc/cpuinfo")
    if not file.exists():
        return "CPU"
    lines = file.read_text(encoding="utf-8").splitlines()
    names = [x.partition(": ")[2] for x in lines if x.startswith("model name")]
    return names[0] if names else "CPU"


def _versions() -> dict[str, str]:
    return {name: version(name) for name in PACKAGES}
