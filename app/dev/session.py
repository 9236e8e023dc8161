"""`python -m app dev`, from the first check to the last stop."""

import asyncio
import shlex
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import psutil
from rich.console import Console

from app.dev import processes
from app.dev.config import DevConfig
from app.dev.disk import require_folder
from app.dev.greeting import print_exports, print_greeting
from app.dev.passwords import write_private
from app.dev.progress import Progress, shown
from app.dev.server import EmbeddedServer
from app.dev.servers import DevServers
from app.dev.service import DEFAULTS, Service


@dataclass(frozen=True)
class Choices:
    """What the person asked for on the command line."""

    services_only: bool
    reload: bool


class Session:
    """The servers, and the service on them, until one of them is ended.

    Args:
        config: Addresses, ports and the data folder.
        environment: What the person has set.
        choices: What the person has asked for.
    """

    def __init__(
        self,
        config: DevConfig,
        environment: Mapping[str, str],
        choices: Choices,
    ) -> None:
        self._config = config
        self._given = environment
        self._choices = choices
        self._console = Console(stderr=True)

    async def run(self) -> int:
        """Return the exit status, which is the service's where it ended.

        Raises:
            StartFailed: Something that the start needs is missing.
        """
        async with AsyncExitStack() as stack:
            with shown(self._console) as progress:
                servers = DevServers(self._config, self._given, progress)
                await self._start(stack, servers, progress)
            deaths = asyncio.create_task(self._tell_of_deaths(servers))
            stack.callback(deaths.cancel)
            if self._choices.services_only:
                print_exports(self._config, servers)
                await asyncio.get_running_loop().create_future()
            return await self._serve(stack, servers)

    async def _start(
        self, stack: AsyncExitStack, servers: DevServers, progress: Progress
    ) -> None:
        require_folder(self._config.data_dir, "DEV_DATA_DIR")
        services = self._services(servers)
        if not self._choices.services_only:
            for service in services:
                await stack.enter_async_context(service.claimed_port())
        await stack.enter_async_context(
            servers.running(lambda: services[0].migrate_and_seed(progress))
        )
        _write_environment(self._config.data_dir / "env", servers.settings)

    async def _serve(self, stack: AsyncExitStack, servers: DevServers) -> int:
        running: list[psutil.Popen] = []
        stack.push_async_callback(_stop_all, running)
        services = self._services(servers)
        for service in services:
            process = service.start(reload=self._choices.reload)
            running.append(process)
        ready = [
            await service.wait_until_ready(process)
            for service, process in zip(services, running, strict=True)
        ]
        if all(ready):
            urls = [service.url for service in services]
            print_greeting(self._config, urls, servers)
        ended = await processes.first_ended(running)
        port = services[running.index(ended)].port
        self._console.print(f"The service on port {port} has ended.")
        return abs(ended.wait() or 0)

    def _services(self, servers: DevServers) -> list[Service]:
        environment = {**DEFAULTS, **self._given, **servers.settings}
        return [
            Service(self._config, port, environment)
            for port in self._config.service_ports
        ]

    async def _tell_of_deaths(self, servers: DevServers) -> None:
        await asyncio.gather(*map(self._tell_of_death, servers.embedded))

    async def _tell_of_death(self, server: EmbeddedServer) -> None:
        if server.process is not None:
            await processes.ended(server.process)
            last = processes.tail(server.log)
            self._console.print(f"{server.name} has ended: {last}")


async def _stop_all(running: Sequence[psutil.Process]) -> None:
    await asyncio.gather(*map(Service.stop, running))


def _write_environment(path: Path, settings: Mapping[str, str]) -> None:
    """Leave the settings for the Makefile's database targets."""
    lines = [f"{n}={shlex.quote(v)}\n" for n, v in sorted(settings.items())]
    write_private(path, "".join(lines))
