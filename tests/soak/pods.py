"""Pods that are processes of this machine, and can be ended and killed."""

import asyncio
import json
import os
import signal
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass

import psutil

from tests.fixtures.processes import GUNICORN, ServiceProcess, started

_END_SECONDS = 60


@dataclass(frozen=True)
class _Running:
    """A process, what stops it, and the task that reads what it says."""

    service: ServiceProcess
    stack: AsyncExitStack
    reading: asyncio.Task[None]

    async def end(self, number: signal.Signals) -> int:
        """Signal it, all of it if it is killed; return its status."""
        process = self.service.process
        if number == signal.SIGKILL:
            os.killpg(process.pid, number)
        else:
            self.service.signal(number)
        async with asyncio.timeout(_END_SECONDS):
            await self.reading
            status = await process.wait()
        await self.stack.aclose()
        return status

    async def close(self) -> None:
        """Kill it if it is still there."""
        self.reading.cancel()
        await asyncio.gather(self.reading, return_exceptions=True)
        await self.stack.aclose()


class Pod:
    """A place for one process, which has a successor when it has ended.

    Args:
        urls: Where the address of the process at hand is kept.
        number: Which of these is this pod's.
        environment: The settings.
    """

    def __init__(
        self, urls: list[str], number: int, environment: Mapping[str, str]
    ) -> None:
        self.lines: list[str] = []
        self._urls = urls
        self._number = number
        self._environment = environment
        self._turn = asyncio.Lock()
        self._running: list[_Running] = []

    @property
    def exceptions(self) -> list[str]:
        """Errors that its processes did not expect, with their traces."""
        said = [
            json.loads(line) for line in self.lines if '"exception":' in line
        ]
        return [f"{one['event']}: {one['exception']}" for one in said]

    async def start(self) -> None:
        """Start a process, and send clients to it when it is ready.

        Raises:
            AssertionError: It has ended.
        """
        stack = AsyncExitStack()
        service = await stack.enter_async_context(
            started(GUNICORN, self._environment)
        )
        reading = asyncio.create_task(self._read(service))
        self._running.append(_Running(service, stack, reading))
        await service.until_ready(200)
        self._urls[self._number] = service.url

    async def fail(self, kind: str, seconds: float) -> None:
        """End the process in some way, and start another some time later."""
        async with self._turn:
            if kind == "SIGKILL worker":
                await asyncio.to_thread(self._kill_worker)
            else:
                await self.end(signal.Signals[kind])
                await asyncio.sleep(seconds)
                await self.start()

    async def settled(self) -> None:
        """Return when it is ready, also after a fault."""
        async with self._turn:
            await self._running[0].service.until_ready(200)

    async def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End the oldest process by a signal, and return its status."""
        status = await self._running[0].end(number)
        del self._running[0]
        return status

    async def close(self) -> None:
        """Kill what is left."""
        for running in self._running:
            await running.close()

    async def _read(self, service: ServiceProcess) -> None:
        assert service.process.stdout is not None
        async for line in service.process.stdout:
            self.lines.append(line.decode().rstrip())

    def _kill_worker(self) -> None:
        master = psutil.Process(self._running[0].service.process.pid)
        for worker in master.children():
            worker.kill()
