"""The service itself, as a process on the servers of `app.dev.servers`.

It is `python -m app serve`, or with `PODS` gunicorn as in the image: three
such processes on one machine are three pods.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import psutil

from app.constants import DEV_DRAIN_TIMEOUT_SECONDS, DEV_PROBE_SECONDS
from app.dev import processes
from app.dev.config import LOOPBACK, ROOT, DevConfig
from app.dev.locks import opened
from app.dev.ports import require_free
from app.dev.probe import answers
from app.dev.progress import Progress
from app.dev.records import Record, leave_record, read_record

DEFAULTS = {
    "AUTH_LOGIN_ENABLED": "true",
    "LOG_FORMAT": "console",
    "WS_QUERY_TOKEN_ENABLED": "true",
}
"""How development differs; what the person has set wins."""

_ANY_ADDRESS = {"0.0.0.0": LOOPBACK, "::": "::1"}  # noqa: S104  (not bound)
_POD = ("-m", "gunicorn", "--config", "docker/gunicorn.conf.py")
_SERVE = ("-m", "app", "serve")
_OF_PODS = {"MANAGEMENT_PORT": ""}
"""One port, which several processes of one machine cannot share."""
_QUICK = {"DRAIN_SECONDS": "0", "DRAIN_WAIT_SECONDS": "0"}
"""Ctrl-C ends the one service at once; what the person has set wins."""


class Service:
    """A process that serves, once the database is migrated and seeded.

    Args:
        config: Address and data folder.
        port: Where it listens.
        environment: All of the service's environment.
    """

    def __init__(
        self, config: DevConfig, port: int, environment: Mapping[str, str]
    ) -> None:
        self._config = config
        self.port = port
        self._environment = {
            **({} if config.pods else _QUICK),
            **environment,
            **(_OF_PODS if config.pods else {}),
            "HOST": config.host,
            "PORT": str(port),
        }
        self._command = _POD if config.pods else _SERVE
        name = f"service-{port}"
        self._record = config.data_dir / f"{name}.json"
        self._lock = config.data_dir / f"{name}.lock"

    @property
    def url(self) -> str:
        """Where the service is, as this machine's programs reach it."""
        host = _ANY_ADDRESS.get(self._config.host, self._config.host)
        host = f"[{host}]" if ":" in host else host
        return f"http://{host}:{self.port}"

    @asynccontextmanager
    async def claimed_port(self) -> AsyncIterator[None]:
        """Keep the port for this start; stop what a killed one left on it.

        Raises:
            StartFailed: Something else listens there.
        """
        with opened(self._lock) as lock:
            left_over = self._left_over()
            if lock.try_alone() and left_over is not None:
                await processes.stop(psutil.Process(left_over.pid))
            require_free(self.port, "the service", "PORT", self._config.host)
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
        """Start the process; its output is ours.

        Args:
            reload: Start again when the code changes; no pod ever does.
        """
        options = ["--reload" if reload else "--no-reload"]
        process = processes.spawn(
            [
                *(sys.executable, *self._command),
                *([] if self._config.pods else options),
            ],
            environment=self._environment,
            cwd=ROOT,
        )
        leave_record(self._record, process, self.port)
        return process

    @staticmethod
    async def stop(process: psutil.Process) -> None:
        """Stop the process, which is given the time to drain."""
        await processes.stop(process, seconds=DEV_DRAIN_TIMEOUT_SECONDS)

    async def wait_until_ready(self, process: psutil.Process) -> bool:
        """Say whether the service became ready before it ended."""
        while processes.is_alive(process):
            if await answers(f"{self.url}/readyz"):
                return True
            await asyncio.sleep(DEV_PROBE_SECONDS)
        return False

    def _left_over(self) -> Record | None:
        marks = (" ".join(command) for command in (_POD, _SERVE))
        found = (read_record(self._record, mark) for mark in marks)
        return next(filter(None, found), None)
