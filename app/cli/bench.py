"""How much the service costs here, compared with an echo."""

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
import uvicorn
from rich.console import Console

from app.bench.report import cells, table, write_page
from app.bench.rows import Row
from app.bench.runner import FULL, QUICK, Plan
from app.bench.stage import staged
from app.bench.suite import Report, measure_all
from app.dev.config import ROOT, DevConfig
from app.dev.progress import shown
from app.dev.servers import DevServers
from app.dev.signals import until_signalled

cli = typer.Typer()

PAGE = ROOT / "docs" / "performance.md"

Quick = Annotated[bool, typer.Option(help="Less exact, in under a minute.")]
Sockets = Annotated[
    int | None, typer.Option(help="Sockets to grow to.", min=500)
]
Write = Annotated[
    bool, typer.Option(help="Put the results into docs/performance.md.")
]
Json = Annotated[
    Path | None, typer.Option("--json", help="Write the results there, too.")
]


@cli.command()
def bench(
    *,
    quick: Quick = False,
    sockets: Sockets = None,
    write: Write = False,
    json_file: Json = None,
) -> None:
    """Compare the service's rates with an echo's on the same server.

    Servers are those that the environment names, or embedded ones as for
    `dev`. The rows are in a database made for this and removed afterwards.
    """
    if json_file is not None:
        _require_writable(json_file)
    plan = QUICK if quick else FULL
    if sockets is not None:
        plan = replace(plan, sockets=(plan.sockets[0], sockets))
    try:
        report = _run(plan)
    except OSError as error:
        sys.exit(f"{error}")
    Console().print(table(report))
    if json_file is not None:
        text = json.dumps(report.as_dict(), indent=2)
        json_file.write_text(f"{text}\n", encoding="utf-8")
    if write:
        write_page(report, PAGE)


def _require_writable(path: Path) -> None:
    """Find out before minutes of work whether its results can be stored."""
    try:
        path.open("a", encoding="utf-8").close()
    except OSError as error:
        sys.exit(f"--json: {path}: {error.strerror}")


def _run(plan: Plan) -> Report:
    reports: list[Report] = []

    async def work() -> int:
        reports.append(await _measure(plan))
        return 0

    server = uvicorn.Config("app:application")  # for its kind of event loop
    with asyncio.Runner(loop_factory=server.get_loop_factory()) as runner:
        status = runner.run(until_signalled(work(), _say_stopping))
    if not reports:
        raise typer.Exit(status)
    return reports[0]


async def _measure(plan: Plan) -> Report:
    console = Console(stderr=True)
    folder = DevConfig.from_environment(os.environ).data_dir
    async with AsyncExitStack() as stack:
        with shown(console) as progress:
            servers = DevServers(DevConfig(folder), os.environ, progress)
            await stack.enter_async_context(servers.running())
        return await _measure_on(servers.settings, plan, console)


async def _measure_on(
    environment: Mapping[str, str], plan: Plan, console: Console
) -> Report:
    def say(row: Row) -> None:
        name, value, *_ = cells(row)
        console.print(f"{name}: {value}", soft_wrap=True)

    async with staged(environment) as stage:
        return await measure_all(stage, plan, say)


def _say_stopping() -> None:
    typer.echo("Stopping …", err=True)
