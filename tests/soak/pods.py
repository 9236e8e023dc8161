"""Pods that are processes of this machine, and can be ended and killed."""

import asyncio
import json
import os
import signal
from collections.abc import Mapping
from contextlib import AsyncExitStack

import psutil

from tests.fixtures.processes import GUNICORN, ServiceProcess, started

_END_SECONDS = 60


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
        self._stack = AsyncExitStack()
        self._turn = asyncio.Lock()
        self._service: ServiceProcess | None = None
        self._reading: asyncio.Task[None] | None = None

    @property
    def exceptions(self) -> list[str]:
        """Errors that its processes did not expect, with their traces."""
        return [
            str(json.loads(line)["exception"])
            for line in self.lines
            if '"exception":' in line
        ]

    async def start(self) -> None:
        """Start the process, and wait until it is ready.

        Raises:
            AssertionError: It has ended.
        """
        self._service = await self._stack.enter_async_context(
            started(GUNICORN, self._environment)
        )
        self._urls[self._number] = self._service.url
        self._reading = asyncio.create_task(self._read(self._service))
        await self._service.until_ready(200)

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
            assert self._service is not None
            await self._service.until_ready(200)

    async def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Signal the process, all of it if it is killed; return its status."""
        assert self._service is not None
        assert self._reading is not None
        process = self._service.process
        if number == signal.SIGKILL:
            os.killpg(process.pid, number)
        else:
            self._service.signal(number)
        async with asyncio.timeout(_END_SECONDS):
            await self._reading
            status = await process.wait()
        await self._stack.aclose()
        return status

    async def close(self) -> None:
        """Kill what is left."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        await self._stack.aclose()

    async def _read(self, service: ServiceProcess) -> None:
        assert service.process.stdout is not None
        async for line in service.process.stdout:
            self.lines.append(line.decode().rstrip())

    def _kill_worker(self) -> None:
        assert self._service is not None
        master = psutil.Process(self._service.process.pid)
        for worker in master.children():
            worker.kill()
