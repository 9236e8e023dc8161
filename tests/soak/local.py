"""Three production processes on this machine, their wires, their own data."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from uuid import uuid4

import asyncpg
from redis.asyncio import Redis

from app.settings import DatabaseSettings
from app.storage.migrate import scratch_database, upgrade
from tests.fixtures.proxy import Proxy
from tests.fixtures.servers import Servers
from tests.soak.chaos import Chaos
from tests.soak.journal import Tables
from tests.soak.pods import Pod
from tests.soak.run import read_tables
from tests.soak.schedule import PODS, SERVER_FAULTS
from tests.soak.stage import Stage

_REDIS_DB = 8
"""One that no other test uses, so that it can be flushed."""
_SETTINGS = {
    "ACCESS_LOG_ENABLED": "false",
    "DB_SSL_MODE": "disable",
    "DB_STATEMENT_TIMEOUT_SECONDS": "2",
    "DRAIN_SECONDS": "1",
    "DRAIN_WAIT_SECONDS": "0.2",
    "LOG_LEVEL": "WARNING",
    "MAIN_REDIS_DB": str(_REDIS_DB),
    "RATE_LIMIT_BURST": "65000",
    "RATE_LIMIT_PER_MINUTE": "65000",
    "REQUEST_TIMEOUT_SECONDS": "4",
    "WS_MAX_CONNECTIONS_PER_USER": "5000",
    "WS_MESSAGE_RATE_LIMIT": "65000",
}


@dataclass(frozen=True)
class Local:
    """Where a run takes place, and what of it can be broken."""

    stage: Stage
    pods: list[Pod]
    wires: Mapping[str, Proxy]
    database_url: str
    redis_url: str

    @property
    def chaos(self) -> Chaos:
        """What breaks it."""
        acts = {"redis": self._forget, "postgres": self._end_sessions}
        servers = {SERVER_FAULTS[name]: act for name, act in acts.items()}
        return Chaos(self.pods, self.wires, servers)

    async def end(self) -> list[int]:
        """End every pod, and return how they did."""
        return await asyncio.gather(*(pod.end() for pod in self.pods))

    async def tables(self) -> Tables:
        """Return what is stored."""
        return await read_tables(self.database_url, self.stage.prefix)

    async def _forget(self) -> None:
        async with Redis.from_url(self.redis_url, db=_REDIS_DB) as redis:
            await redis.flushdb()

    async def _end_sessions(self) -> None:
        connection = await asyncpg.connect(self.database_url)
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        await connection.close()


@asynccontextmanager
async def local(
    servers: Servers, token: Callable[[], str], **settings: str
) -> AsyncIterator[Local]:
    """Start three pods with a database of their own."""
    owner = DatabaseSettings(database_url=servers.database_url)
    async with AsyncExitStack() as stack:
        engine = await stack.enter_async_context(scratch_database(owner))
        await upgrade(engine)
        base = servers.database_url.rpartition("/")[0]
        database_url = f"{base}/{engine.url.database}"
        wires = {
            "redis": Proxy(servers.redis_url),
            "postgres": Proxy(database_url),
        }
        for wire in wires.values():
            wire.start()
            stack.callback(wire.stop)
        environment = {
            **servers.environment,
            **_SETTINGS,
            "DATABASE_URL": wires["postgres"].via(database_url),
            "REDIS_URL": wires["redis"].via(servers.redis_url),
            **settings,
        }
        stage = Stage([""] * PODS, token, uuid4().hex[:8])
        pods = [Pod(stage.urls, n, environment) for n in range(PODS)]
        for pod in pods:
            stack.push_async_callback(pod.close)
        await asyncio.gather(*(pod.start() for pod in pods))
        redis_url = servers.redis_url
        yield Local(stage, pods, wires, database_url, redis_url)
