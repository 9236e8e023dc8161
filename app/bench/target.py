"""The servers under load: processes of their own, with their CPU."""

import asyncio
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any, Final

import psutil
import uvicorn
from starlette.types import ASGIApp

from app.apps import OURS
from app.bench.echo import ReadingEcho, echo
from app.bench.naive import make_naive_app
from app.constants import (
    DEV_PROBE_SECONDS,
    DEV_START_TIMEOUT_SECONDS,
    SHUTDOWN_TIMEOUT_SECONDS,
)
from app.dev import processes
from app.dev.config import LOOPBACK
from app.dev.errors import StartFailed
from app.dev.probe import answers
from app.logging import configure_logging
from app.main import create_app
from app.server import uvicorn_options
from app.settings import Settings, load_settings

_CPU_CLOCK: Final = 2
"""What makes of a process's id the number of its clock, on Linux."""
_UVICORNS_OWN: Final = {"http": "httptools", "ws": "websockets-sansio"}
"""The echo is what uvicorn makes of it, without what we have added."""
MakeApp = Callable[[Settings], Any]


def make_echo(_: Settings) -> ASGIApp:
    """Return the echo."""
    return echo


def make_reading_echo(settings: Settings) -> ASGIApp:
    """Return the echo that reads, as the service does, from PostgreSQL."""
    address = settings.sqlalchemy_url.set(drivername="postgresql")
    return ReadingEcho(
        address.render_as_string(hide_password=False),
        settings.db_read_pool_size,
    )


def make_service(settings: Settings) -> ASGIApp:
    """Return the service, with the bench's own package added."""
    return create_app(settings, packages=[OURS, "app.bench.package"])


def make_naive(settings: Settings) -> ASGIApp:
    """Return the service as it is often written."""
    return make_naive_app(settings)


@dataclass(frozen=True)
class Target:
    """A server process and where it listens."""

    port: int
    process: psutil.Process

    @property
    def cpu_seconds(self) -> float:
        """What it has used of the CPU so far."""
        if (
            sys.platform == "linux"
        ):  # to the nanosecond, where ticks have 10 ms
            return time.clock_gettime(~self.process.pid << 3 | _CPU_CLOCK)
        times = self.process.cpu_times()
        return float(times.user + times.system)

    @property
    def memory_bytes(self) -> int:
        """What it occupies of the memory now."""
        return int(self.process.memory_info().rss)


@asynccontextmanager
async def started(
    make_app: MakeApp, environment: Mapping[str, str], log: Path
) -> AsyncIterator[Target]:
    """Run a server in a process until the block is left.

    Args:
        make_app: Makes the application; found by name in the new process.
        environment: Its settings.
        log: Gets its output.

    Raises:
        StartFailed: It died or did not answer.
    """
    with socket.create_server((LOOPBACK, 0), backlog=4096) as listener:
        child = _launch(make_app, environment, listener, log)
        process = psutil.Process(child.pid)
        target = Target(listener.getsockname()[1], process)
        try:
            await _wait_until_started(target, log)
            yield target
        finally:
            await asyncio.to_thread(_stop, process)
            child.join()


def _launch(
    make_app: MakeApp,
    environment: Mapping[str, str],
    listener: socket.socket,
    log: Path,
) -> ForkServerProcess:
    log.touch()  # it may die before it opens it
    child = _context().Process(
        target=_serve, args=(make_app, dict(environment), listener, log)
    )
    child.start()
    return child


@cache
def _context() -> ForkServerContext:
    """Return what starts processes that have imported all of this already."""
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


def _serve(
    make_app: MakeApp,
    environment: dict[str, str],
    listener: socket.socket,
    log: Path,
) -> None:
    with log.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.environ.update(environment)
    settings = load_settings()
    configure_logging(settings)
    options = uvicorn_options(settings)
    if make_app in (make_echo, make_reading_echo):
        options |= _UVICORNS_OWN
    config = uvicorn.Config(make_app(settings), backlog=4096, **options)
    uvicorn.Server(config).run(sockets=[listener])


def _stop(process: psutil.Process) -> None:
    """End a process, also when who forked it is gone."""
    with suppress(psutil.NoSuchProcess):
        process.terminate()
        try:
            process.wait(SHUTDOWN_TIMEOUT_SECONDS)
        except psutil.TimeoutExpired:
            process.kill()


async def _wait_until_started(target: Target, log: Path) -> None:
    url = f"http://{LOOPBACK}:{target.port}/startupz"
    try:
        async with asyncio.timeout(DEV_START_TIMEOUT_SECONDS):
            while not await answers(url):
                if not processes.is_alive(target.process):
                    raise StartFailed(f"It died: {processes.tail(log)}")
                await asyncio.sleep(DEV_PROBE_SECONDS)
    except TimeoutError:
        raise StartFailed(f"It is silent: {processes.tail(log)}") from None
