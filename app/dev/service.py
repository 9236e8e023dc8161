"""The service itself, as a process on the servers of `app.dev.servers`."""

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import psutil

from app.constants import DEV_PROBE_SECONDS
from app.dev import processes
from app.dev.config import LOOPBACK, ROOT, DevConfig
from app.dev.locks import opened
from app.dev.ports import require_free
from app.dev.probe import answers
from app.dev.progress import Progress
from app.dev.records import leave_record, read_record

DEFAULTS = {
    "AUTH_LOGIN_ENABLED": "true",
    "LOG_FORMAT": "console",
    "WS_QUERY_TOKEN_ENABLED": "true",
}
"""How development differs; what the person has set wins."""

_ANY_ADDRESS = {"0.0.0.0": LOOPBACK, "::": "::1"}  # noqa: S104  (not bound)
_MARK = "-m app serve"


class Service:
    """`python -m app serve`, once the database is migrated and seeded.

    Args:
        config: Address, port and data folder.
        environment: All of the service's environment.
    """

    def __init__(
        self, config: DevConfig, environment: Mapping[str, str]
    ) -> None:
        self._config = config
        self._environment = {
            **environment,
            "HOST": config.host,
            "PORT": str(config.port),
        }
        name = f"service-{config.port}"
        self._record = config.data_dir / f"{name}.json"
        self._lock = config.data_dir / f"{name}.lock"

    @property
    def url(self) -> str:
        """Where the service is, as this machine's programs reach it."""
        host = _ANY_ADDRESS.get(self._config.host, self._config.host)
        host = f"[{host}]" if ":" in host else host
        return f"http://{host}:{self._config.port}"

    @asynccontextmanager
    async def claimed_port(self) -> AsyncIterator[None]:
        """Keep the port for this start; stop what a killed one left on it.

        Raises:
            StartFailed: Something else listens there.
        """
        with opened(self._lock) as lock:
            left_over = read_record(self._record, _MARK)
            if lock.try_alone() and left_over is not None:
                await processes.stop(psutil.Process(left_over.pid))
            require_free(
                self._config.port, "the service", "PORT", self._config.host
            )
            yield

    async def migrate_and_seed(self, progress: Progress) -> None:
        """Bring the database up to date.

        Raises:
            StartFailed: One of the two has failed.
        """
        logs = self._config.data_dir / "logs"
        for verb, doing in (("migrate", "migrating"), ("seed", "seeding")):
            progress.say("Database", doing)
            await processes.run(
                [sys.executable, "-m", "app", verb],
                log=logs / f"{verb}.log",
                environment=self._environment,
                cwd=ROOT,
            )
        progress.finish("Database", "migrated and seeded")

    def start(self, *, reload: bool) -> psutil.Popen:
        """Start the process; its output is ours."""
        process = processes.spawn(
            [
                *(sys.executable, "-m", "app", "serve"),
                "--reload" if reload else "--no-reload",
            ],
            environment=self._environment,
            cwd=ROOT,
        )
        leave_record(self._record, process, self._config.port)
        return process

    async def wait_until_ready(self, process: psutil.Process) -> bool:
        """Say whether the service became ready before it ended."""
        while processes.is_alive(process):
            if await answers(f"{self.url}/readyz"):
                return True
            await asyncio.sleep(DEV_PROBE_SECONDS)
        return False
