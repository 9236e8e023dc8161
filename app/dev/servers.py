"""The three servers together: checked, started at once, stopped together.

A server that the environment already names is used as it is. The others are
ours: all ports are checked before the first of them starts, Keycloak (the
slow one) boots while the database is prepared, and whoever uses them last
stops them (see `app.dev.locks`).
"""

import asyncio
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Mapping,
)
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
)

from app.constants import DEV_MIN_FREE_BYTES, DEV_STOP_TIMEOUT_SECONDS
from app.dev.config import DevConfig
from app.dev.disk import require_folder, require_space
from app.dev.errors import StartFailed
from app.dev.keycloak import Keycloak
from app.dev.locks import Lock, held, opened
from app.dev.postgres import Postgres
from app.dev.progress import Progress
from app.dev.server import EmbeddedServer
from app.dev.valkey import Valkey

Prepare = Callable[[], Awaitable[None]]
"""What is done with the database while Keycloak still boots."""

_CONFIGURED_BY: Mapping[type[EmbeddedServer], tuple[str, ...]] = {
    Postgres: ("DATABASE_URL", "DB_HOST"),
    Valkey: ("REDIS_URL", "REDIS_IP"),
    Keycloak: ("KEYCLOAK_BASE_URL",),
}
_PREFIXES = ("DATABASE_URL", "DB_", "REDIS_", "KEYCLOAK_")


class DevServers:
    """PostgreSQL, Valkey and Keycloak for one data folder.

    Args:
        config: Ports and the data folder.
        environment: Names the servers that are there already.
        progress: Is told what each server is doing.
        kinds: Which of the three are of interest.
    """

    def __init__(
        self,
        config: DevConfig,
        environment: Mapping[str, str],
        progress: Progress,
        kinds: Collection[type[EmbeddedServer]] = tuple(_CONFIGURED_BY),
    ) -> None:
        self._folder = config.data_dir
        self._environment = environment
        self._progress = progress
        self.postgres: Postgres | None = None
        self.valkey: Valkey | None = None
        self.keycloak: Keycloak | None = None
        mine = {k for k in kinds if not is_configured(k, environment)}
        if Postgres in mine:
            self.postgres = Postgres(self._folder, config.db_port, progress)
        if Valkey in mine:
            self.valkey = Valkey(self._folder, config.redis_port, progress)
        if Keycloak in mine:
            self.keycloak = Keycloak(
                self._folder, config.keycloak_port, progress, config.port
            )

    @property
    def embedded(self) -> list[EmbeddedServer]:
        """The servers that are ours, the slowest first."""
        servers = (self.keycloak, self.postgres, self.valkey)
        return [server for server in servers if server is not None]

    @property
    def settings(self) -> dict[str, str]:
        """The service's settings for these servers."""
        given = {
            name: value
            for name, value in self._environment.items()
            if name.startswith(_PREFIXES)
        }
        for server in self.embedded:
            given |= server.settings
        return given

    @asynccontextmanager
    async def running(
        self, prepare: Prepare | None = None
    ) -> AsyncIterator[None]:
        """Start what is ours, and stop it unless others use it, too.

        Raises:
            StartFailed: A port is taken, the disk is full, or a server
                cannot be started.
        """
        require_folder(self._folder, "DEV_DATA_DIR")
        require_space(self._folder, DEV_MIN_FREE_BYTES, "DEV_DATA_DIR")
        with opened(self._folder / "users.lock") as users:
            try:
                async with self._starting():
                    await self._claim(users)
                    await self._start(prepare)
                yield
            finally:
                await self._stop_if_last(users)

    async def stop_if_unused(self) -> None:
        """Stop the servers that were found, unless somebody uses them."""
        with opened(self._folder / "users.lock") as users:
            await self._stop_if_last(users)

    def _starting(self) -> AbstractAsyncContextManager[None]:
        return held(
            self._folder / "starting.lock",
            lambda: self._progress.say("Servers", "waiting for another start"),
        )

    async def _claim(self, users: Lock) -> None:
        alone = users.try_alone()
        for server in self.embedded:
            await server.find(alone=alone)
        users.try_shared()
        for server in self.embedded:
            server.claim_port()

    async def _start(self, prepare: Prepare | None) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                if self.keycloak is not None:
                    group.create_task(self.keycloak.start())
                group.create_task(self._start_data(prepare))
        except* (StartFailed, OSError) as errors:
            raise _first(errors) from None

    async def _start_data(self, prepare: Prepare | None) -> None:
        async with asyncio.TaskGroup() as group:
            for server in (self.postgres, self.valkey):
                if server is not None:
                    group.create_task(server.start())
        if prepare is not None:
            await prepare()

    async def _stop_if_last(self, users: Lock) -> None:
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(DEV_STOP_TIMEOUT_SECONDS):
                    await stack.enter_async_context(self._starting())
            except TimeoutError:
                return  # who is starting now finds them and stops them
            if users.try_alone():
                await asyncio.gather(*(s.stop() for s in self.embedded))


def _first(error: BaseException) -> BaseException:
    if isinstance(error, BaseExceptionGroup):
        return _first(error.exceptions[0])
    return error


def is_configured(
    kind: type[EmbeddedServer], environment: Mapping[str, str]
) -> bool:
    """Say whether the environment names a server of this kind."""
    return any(environment.get(name) for name in _CONFIGURED_BY[kind])
