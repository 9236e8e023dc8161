"""One embedded server: found running or started, then stopped."""

import asyncio
import signal
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import ClassVar

import psutil

from app.constants import DEV_POLL_SECONDS, DEV_START_TIMEOUT_SECONDS
from app.dev import processes
from app.dev.errors import StartFailed
from app.dev.ports import free_port, require_free
from app.dev.progress import Progress
from app.dev.records import leave_record, read_record


class EmbeddedServer(ABC):
    """A server on the loopback interface, with its data in one folder.

    Args:
        folder: The data folder of this clone.
        port: Where to listen; 0 is any free port.
        progress: Is told what the server is doing.
    """

    name: ClassVar[str]
    port_variable: ClassVar[str]
    url_variable: ClassVar[str]
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM

    def __init__(self, folder: Path, port: int, progress: Progress) -> None:
        self.folder = folder
        self.port = port
        self.progress = progress
        self.process: psutil.Process | None = None
        self.log = folder / "logs" / f"{self.name.lower()}.log"
        self._record = folder / f"{self.name.lower()}.json"

    @property
    @abstractmethod
    def settings(self) -> dict[str, str]:
        """The service's settings for this server."""

    @property
    @abstractmethod
    def mark(self) -> str:
        """What only this server's command line contains."""

    @abstractmethod
    async def prepare(self) -> None:
        """Make what the server needs before it can be launched."""

    @abstractmethod
    def launch(self) -> psutil.Popen:
        """Start the process."""

    @abstractmethod
    async def is_ready(self) -> bool:
        """Say whether the server answers."""

    async def find(self, *, alone: bool) -> None:
        """Adopt the server that another start left running, if any.

        One that listens on another port than is wanted is stopped if we are
        alone, that is if nobody else uses it.

        Raises:
            StartFailed: It listens on another port, and others use it.
        """
        record = read_record(self._record, self.mark)
        if record is None:
            return
        if self.port not in {0, record.port} and not alone:
            raise StartFailed(
                f"{self.name} of this clone is in use on port {record.port}; "
                f"set {self.port_variable}={record.port}"
            )
        self.process = psutil.Process(record.pid)
        if self.port in {0, record.port}:
            self.port = record.port
        else:
            await self.stop()

    def claim_port(self) -> None:
        """Refuse a taken port, or pick a free one.

        Raises:
            StartFailed: The port is taken.
        """
        if self.port == 0:
            self.port = free_port()
        elif self.process is None:
            require_free(self.port, self.name, self.port_variable)

    async def start(self) -> None:
        """Start the server, unless it was adopted, and wait until it answers.

        Raises:
            StartFailed: It cannot be prepared, dies or does not answer.
        """
        adopted = self.process is not None
        if not adopted:
            await self.prepare()
            self.progress.say(self.name, "starting")
            self.process = self.launch()
            leave_record(self._record, self.process, self.port)
        await self._wait_until_ready()
        how = "already running" if adopted else "ready"
        self.progress.finish(self.name, f"{how} on port {self.port}")

    async def stop(self) -> None:
        """Stop the server, if it runs."""
        if self.process is not None:
            await processes.stop(self.process, self.stop_signal)
        self.process = None
        self._record.unlink(missing_ok=True)

    @asynccontextmanager
    async def away(self) -> AsyncIterator[None]:
        """Stop the server for a while, then start it where it was."""
        await self.stop()
        try:
            yield
        finally:
            await self.start()

    def is_alive(self) -> bool:
        """Say whether the server's process runs."""
        return self.process is not None and processes.is_alive(self.process)

    async def _wait_until_ready(self) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + DEV_START_TIMEOUT_SECONDS
        while not await self.is_ready():
            if not self.is_alive():
                last = processes.tail(self.log)
                raise StartFailed(f"{self.name} died at its start: {last}")
            if loop.time() > deadline:
                last = processes.tail(self.log)
                raise StartFailed(f"{self.name} does not answer: {last}")
            await asyncio.sleep(DEV_POLL_SECONDS)
