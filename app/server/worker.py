"""The service under gunicorn; see docker/gunicorn.conf.py.

gunicorn's master makes the application before it forks: a wrong setting or
role map ends it there, with the line that names it, and there is no worker
to start again and again. A worker that cannot serve after that exits with
the status that makes the master end, too.

A terminal's Ctrl-C reaches master and worker, and the master passes it on:
to a worker SIGINT and SIGTERM are therefore one signal, however often they
come. What hurries it is SIGQUIT, which the master sends when it is signalled
a second time itself.
"""

import asyncio
import logging
import math
import signal
import sys
from collections.abc import Mapping
from types import FrameType
from typing import Any

from gunicorn.arbiter import Arbiter
from gunicorn.config import Config
from gunicorn.glogging import Logger as GunicornLogger
from uvicorn_worker import UvicornWorker

from app import constants as c
from app.server import ports_of, uvicorn_options
from app.server.admission import raise_file_limit
from app.server.process import Server
from app.settings import ConfigurationError, Settings, load_settings

_UVICORN = ("uvicorn.error", "uvicorn.access")


class WorkerServer(Server):
    """A server that a second SIGINT or SIGTERM does not hurry."""

    def handle_exit(
        self,
        sig: int,  # noqa: ARG002  (uvicorn's)
        frame: FrameType | None,  # noqa: ARG002  (same)
    ) -> None:
        """Begin to end."""
        self.should_exit = True


class Worker(UvicornWorker):  # type: ignore[misc]  # it has no types
    """One process that serves, with our protocols and our way to end."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise_file_limit()
        self.CONFIG_KWARGS = uvicorn_options(load_settings())
        super().__init__(*args, **kwargs)
        for name in _UVICORN:
            logging.getLogger(name).propagate = True

    async def _serve(self) -> None:
        self.config.app = self.wsgi
        server = WorkerServer(self.config)
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGQUIT, server.hurry)
        await server.serve(sockets=self.sockets)
        if not server.started:
            sys.exit(Arbiter.WORKER_BOOT_ERROR)


class Logger(GunicornLogger):  # type: ignore[misc]  # it has no types
    """gunicorn's log lines, in the form that `app.logging` gives them."""

    def setup(self, cfg: Config) -> None:
        """Leave everything to the root logger."""
        self.cfg = cfg
        for logger in (self.error_log, self.access_log):
            logger.propagate = True


def addresses(environment: Mapping[str, str], settings: Settings) -> list[str]:
    """Return what is bound.

    Args:
        environment: `HOST` and `PORT`, else this machine's 8000.
        settings: Those with the management port.

    Raises:
        ConfigurationError: `PORT` is no port, or not one for both.
    """
    host = environment.get("HOST") or "127.0.0.1"
    host = f"[{host}]" if ":" in host else host
    port = environment.get("PORT") or str(c.DEV_PORT)
    if not port.isdecimal():
        raise ConfigurationError(f"PORT: {port!r} is not a number")
    return [f"{host}:{p}" for p in ports_of(int(port), settings)]


def graceful_seconds(settings: Settings) -> int:
    """Say how long a worker may take to end."""
    drain = settings.drain_wait_seconds + settings.drain_seconds
    last = c.SHUTDOWN_TIMEOUT_SECONDS + c.STOP_MARGIN_SECONDS
    return math.ceil(drain) + last


def end_gently(arbiter: Arbiter) -> None:
    """Let SIGINT drain as SIGTERM does, and a second of either hurry."""
    received: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        if received:
            # By its own way gunicorn would kill them two seconds later.
            arbiter.kill_workers(signal.SIGQUIT)
        else:
            arbiter.signal(signal.SIGTERM, frame)
        received.append(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handle)
